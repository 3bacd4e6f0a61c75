"""Events of the settings topic into rows of ``site_settings``."""

from collections.abc import Mapping, Sequence
from typing import Final

from projections.changes import Keep, Rule, SparseTable, Upsert
from projections.folding import Folding
from schemas.events import SettingsChanged

_RULES: Final[Mapping[str, Rule]] = dict.fromkeys(
    ("value", "changed_by", "changed_at", "position"), Keep.LAST
)


def fold(events: Sequence[Folding]) -> list[Upsert]:
    """The rows that ``events`` change: the last word on each key stays."""
    changed = SparseTable("site_settings", ("key",), _RULES)
    for folding in events:
        match folding.event.data:
            case SettingsChanged() as data:
                changed.set(
                    (data.key,),
                    value=data.value,
                    changed_by=data.changed_by,
                    changed_at=folding.event.time,
                    position=str(folding.position),
                )
            case _:
                pass
    return changed.upserts()
