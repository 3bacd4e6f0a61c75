"""Events on ``millstream.settings``."""

from typing import Annotated, Final

import msgspec

from schemas.limits import Creator, FieldError
from schemas.registry import Audience, Payload, event
from schemas.settings.known import BY_KEY
from schemas.topics import Topic

SITE_ID: Final = 0
"""The one aggregate: settings of the whole site change one after the other."""


@event(
    "millstream.settings.changed",
    topics=(Topic.SETTINGS,),
    key=lambda data: SITE_ID,
    audience=Audience.EXTERNAL,
    guarded=True,
    administers=True,
)
class SettingsChanged(Payload, frozen=True, kw_only=True):
    """Somebody changed one site setting; ``value`` null gives back the default."""

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    value: Annotated[float, msgspec.Meta(ge=0, le=1e9)] | None
    changed_by: Creator

    def __post_init__(self) -> None:
        setting = BY_KEY.get(self.key)
        if setting is None:
            raise FieldError(
                "key", f"there is no setting {self.key!r}; there are {', '.join(sorted(BY_KEY))}"
            )
        if self.value is not None and not setting.least <= self.value <= setting.most:
            raise FieldError("value", f"has to lie between {setting.least:g} and {setting.most:g}")
