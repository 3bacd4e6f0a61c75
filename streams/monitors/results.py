"""What a run found, whole: the blob that the event points to, in the form that receivers get. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec

from schemas.events import Found
from streams.search.history.matching import CommitMatch

_EVENT_BYTES: Final = 250_000
"""Of all results that an event names."""
_RANGES: Final = 100
_PATHS: Final = 100
_PATH_CHARACTERS: Final = 1_000
_FOUND: Final = 1_000


class Result(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One result as a webhook has it: a message or a diff, and where it matched, in code points."""

    repository: str
    commit: str
    message: str | None = None
    matched_message_ranges: list[tuple[int, int]] | None = None
    diff: str | None = None
    matched_diff_ranges: list[tuple[int, int]] | None = None

    @property
    def text(self) -> str:
        return (self.diff if self.diff is not None else self.message) or ""

    @property
    def ranges(self) -> list[tuple[int, int]]:
        found = self.matched_diff_ranges if self.diff is not None else self.matched_message_ranges
        return found or []


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(list[Result]).decode


def result_of(repository: str, match: CommitMatch) -> Result:
    """A match as a result."""
    if match.is_diff:
        return Result(
            repository=repository, commit=match.commit, diff=match.text, matched_diff_ranges=match.ranges
        )
    return Result(
        repository=repository, commit=match.commit, message=match.text, matched_message_ranges=match.ranges
    )


def written(repository: str, matches: Sequence[CommitMatch]) -> bytes:
    """The blob of these results."""
    return _encode([result_of(repository, one) for one in matches])


def read(blob: bytes) -> list[Result]:
    """The results in a blob."""
    return _decode(blob)


def found_in(matches: Sequence[CommitMatch]) -> list[Found]:
    """What the event says of them, without their text: as many as it has room for, the newest first."""
    found: list[Found] = []
    room_bytes = _EVENT_BYTES
    for match in matches[:_FOUND]:
        one = Found(
            commit=match.commit,
            paths=[path[:_PATH_CHARACTERS] for path in match.paths[:_PATHS]],
            ranges=list(match.ranges[:_RANGES]),
            matches=match.matches,
        )
        room_bytes -= len(_encode(one))
        if room_bytes < 0:
            break
        found.append(one)
    return found
