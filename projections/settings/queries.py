"""Reads over the settings projection, inside a snapshot (``projections.reading``)."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from projections.settings.tables import SITE_SETTINGS
from schemas.settings import known
from schemas.settings.known import SETTINGS, Setting


class SiteSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings as they are now: what was changed, else the default. None: no limit."""

    concurrency: int | None
    rate_limit_per_s: float | None
    rate_limit_burst: float
    timeout_s: float
    recording_window_s: float
    poll_interval_s: float
    monitor_interval_s: float


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """One setting and the last word on it; ``value`` is what holds now."""

    setting: Setting
    value: float | None
    changed_by: str | None
    changed_at: datetime | None
    position: str | None


def values(connection: Connection) -> SiteSettings:
    """What holds now."""
    found = {one.setting.key: one.value for one in listed(connection)}
    concurrency = found[known.CONCURRENCY]
    return SiteSettings(
        concurrency=None if concurrency is None else int(concurrency),
        rate_limit_per_s=found[known.RATE_LIMIT],
        rate_limit_burst=_given(found[known.RATE_LIMIT_BURST], known.RATE_LIMIT_BURST),
        timeout_s=_given(found[known.TIMEOUT_S], known.TIMEOUT_S),
        recording_window_s=_given(found[known.RECORDING_WINDOW_S], known.RECORDING_WINDOW_S),
        poll_interval_s=_given(found[known.POLL_INTERVAL_S], known.POLL_INTERVAL_S),
        monitor_interval_s=_given(found[known.MONITOR_INTERVAL_S], known.MONITOR_INTERVAL_S),
    )


def listed(connection: Connection) -> list[Changed]:
    """Every setting of this build, in its order."""
    rows = {row["key"]: row for row in connection.execute(select(SITE_SETTINGS)).mappings()}
    found: list[Changed] = []
    for setting in SETTINGS:
        row = rows.get(setting.key)
        value = None if row is None else row["value"]
        found.append(
            Changed(
                setting=setting,
                value=setting.default if value is None else value,
                changed_by=None if row is None else row["changed_by"],
                changed_at=None if row is None else row["changed_at"],
                position=None if row is None else row["position"],
            )
        )
    return found


def _given(value: float | None, key: str) -> float:
    if value is None:
        raise KeyError(f"the setting {key} has neither a value nor a default")
    return value
