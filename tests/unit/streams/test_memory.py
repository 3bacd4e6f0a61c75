"""What was said last of a repository, wherever it was learnt: a place that was read earlier does not bring back what was said before."""

from streams.repositories.places import Memory, Place, Said

FIRST, SECOND, THIRD = (Said(offset, f"tip{offset}", f"refs{offset}") for offset in (1, 5, 9))


def place(said: Said | None) -> Place:
    return Place(repository_id=1, path="/p", clone_url=None, said=said)


def test_what_was_said_here_goes_before_what_the_projection_shows() -> None:
    memory = Memory()
    assert memory.newest(place(None)) is None
    memory.remember(1, FIRST)
    assert memory.newest(place(None)) == FIRST
    memory.remember(1, SECOND)
    assert memory.newest(place(FIRST)) == SECOND


def test_an_older_place_brings_nothing_back_when_a_newer_one_was_seen() -> None:
    memory = Memory()
    memory.remember(1, SECOND)
    assert memory.newest(place(FIRST)) == SECOND
    assert memory.newest(place(SECOND)) == SECOND, "the projection has it"
    assert memory.newest(place(FIRST)) == SECOND, "the poller's list is some seconds old"


def test_what_another_process_said_meanwhile_is_newer() -> None:
    memory = Memory()
    memory.remember(1, FIRST)
    assert memory.newest(place(THIRD)) == THIRD
    memory.remember(1, SECOND)
    assert memory.newest(place(FIRST)) == THIRD
