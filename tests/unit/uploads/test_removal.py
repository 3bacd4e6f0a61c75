"""What of deleted uploads may go: nothing that is named, nothing that may be named soon, manifests last."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from infra.blobs import BlobRef
from projections.uploads.queries import Content, Contents
from streams.uploads.removal import CLOCKS_APART, Removing, removing

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
GRACE = timedelta(hours=24)
LONG_AGO = NOW - GRACE


def content(upload_id: int, index: str | None = None, manifest: str | None = None) -> Content:
    ref = None if manifest is None else BlobRef(f"file:///{manifest}", 1, manifest)
    return Content(upload_id=upload_id, repository_id=1, index=index, manifest=ref)


def due(
    kept: list[Content],
    left: list[Content],
    *,
    packs: Mapping[str, frozenset[str]] | None = None,
    aside: Mapping[str, datetime] | None = None,
    there: frozenset[str] = frozenset(),
    processing_since: datetime | None = None,
    elsewhere: frozenset[str] = frozenset(),
) -> Removing:
    found = Contents(kept=kept, left=left, processing_since=processing_since)
    return removing(found, packs or {}, aside or {}, there, NOW, GRACE, elsewhere)


def test_what_only_a_deleted_one_names_is_set_aside_and_its_manifest_last() -> None:
    packs = {"m": frozenset(("p", "q"))}
    found = due([], [content(1, "i", "m")], packs=packs, there=frozenset("impq"))
    assert found.set_aside == ["i", "p", "q", "m"]
    assert (found.remove, found.bring_back, found.done) == ([], [], [])


def test_what_another_names_stays_whoever_deleted_it() -> None:
    packs = {"m": frozenset(("p",)), "n": frozenset(("p", "q"))}
    gone = content(1, "i", "n")
    found = due([content(2, "i", "m")], [gone], packs=packs, there=frozenset("ipnqm"))
    assert found.set_aside == ["q", "n"]
    shared = content(1, "i", "m")
    assert due([content(2, "i", "m")], [shared], packs=packs, there=frozenset("ipm")).done == [shared]


def test_what_something_else_names_stays_as_if_an_upload_did() -> None:
    gone, other = content(1, "i", "m"), frozenset("i")
    found = due([], [gone], there=frozenset("im"), elsewhere=other)
    assert (found.set_aside, found.done) == (["m"], [])
    assert due([], [content(1, "i")], there=other, elsewhere=other).done == [content(1, "i")]
    late = due([], [gone], aside={"i": LONG_AGO, "m": LONG_AGO}, elsewhere=other)
    assert (late.bring_back, late.remove) == (["i"], ["m"])


def test_it_goes_when_the_grace_is_over_and_not_before() -> None:
    gone = content(1, "i")
    early = due([], [gone], aside={"i": LONG_AGO + timedelta(seconds=1)})
    assert (early.remove, early.done) == ([], [])
    late = due([], [gone], aside={"i": LONG_AGO})
    assert (late.remove, late.done) == (["i"], [])
    assert due([], [gone]).done == [gone], "nothing of it is there any more"


def test_what_is_named_again_comes_back_however_long_it_was_aside() -> None:
    found = due([content(2, "i")], [content(1, "i")], aside={"i": LONG_AGO - GRACE})
    assert (found.bring_back, found.remove) == (["i"], [])


def test_what_was_set_aside_since_a_reading_began_waits_for_its_end() -> None:
    """The reader may refer to it, and has said nothing yet."""
    aside = {"p": LONG_AGO}
    reading = LONG_AGO - timedelta(hours=1)
    assert due([], [], aside=aside, processing_since=reading).remove == []
    assert due([], [], aside=aside, processing_since=LONG_AGO + CLOCKS_APART).remove == []
    later = LONG_AGO + CLOCKS_APART + timedelta(seconds=1)
    assert due([], [], aside=aside, processing_since=later).remove == ["p"]
