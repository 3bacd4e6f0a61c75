"""How far readers of the log are behind, in records and in time, how they do, and why (docs/lag.md).

``observe`` looks, ``states`` judges (pure), ``trend`` reckons (pure), ``report`` puts together, ``sampler`` does it every few seconds,
``store`` keeps it for whoever asks.
"""

from projections.lag.standing import (
    Marks,
    ProjectionLag,
    projection_lags,
    watermarks,
)

__all__ = [
    "Marks",
    "ProjectionLag",
    "projection_lags",
    "watermarks",
]
