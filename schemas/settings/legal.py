"""What may happen to the site's settings: every change that decodes. A repeat changes nothing, and ``ce_expectedversion`` holds."""

from collections.abc import Mapping
from typing import Final

from schemas.envelope import Event
from schemas.judgement import AcceptedIds, AggregateState, Judgement, judge
from schemas.registry import Payload
from schemas.settings.events import SettingsChanged

LIVE: Final = "live"

LIFE_AFTER: Final[Mapping[type[Payload], str]] = {SettingsChanged: LIVE}
"""Every guarded type, and where the settings are in their life afterwards."""


def decide(state: AggregateState, event: Event, accepted_ids: AcceptedIds) -> Judgement:
    """Judge a change of the site's settings."""
    return judge(state, event, accepted_ids, lambda lifecycle, data: LIFE_AFTER[type(data)])
