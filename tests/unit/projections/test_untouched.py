"""Which keys need no look: only those that were never written, whatever is forgotten."""

from projections.series_points.copy_rows import Commits
from projections.series_points.outcomes import KeyChange, change_of
from projections.series_points.untouched import Untouched
from tests.support.projecting import SERIES, completed, result


def _change(repository: int) -> KeyChange:
    event = completed(result({600: 1}), repository_id=repository)
    return change_of((SERIES, repository), (event.series[0], event, Commits.of(event.commits)))


CHANGES = [_change(repository) for repository in range(6)]


def test_a_key_is_new_once() -> None:
    untouched = Untouched()
    assert untouched.split(CHANGES[:3]) == (CHANGES[:3], [])
    assert untouched.split(CHANGES[2:5]) == (CHANGES[3:5], CHANGES[2:3])
    assert untouched.split(CHANGES) == (CHANGES[5:], CHANGES[:5])
    assert untouched.split(CHANGES) == ([], CHANGES)


def test_nothing_is_new_once_it_forgot() -> None:
    untouched = Untouched()
    untouched.forget()
    assert untouched.split(CHANGES) == ([], CHANGES)


def test_it_remembers_only_so_many_keys_and_then_none() -> None:
    untouched = Untouched(most_keys=4)
    assert untouched.split(CHANGES[:3]) == (CHANGES[:3], [])
    assert untouched.split(CHANGES[3:5]) == ([], CHANGES[3:5])
    assert untouched.split(CHANGES[5:]) == ([], CHANGES[5:])
