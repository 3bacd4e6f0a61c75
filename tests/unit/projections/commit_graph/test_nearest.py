"""From what the graph shows at a commit to the uploads that answer there."""

from projections.commit_graph.nearest import Candidate, Known, nearest

COMMIT, OTHER = b"a" * 20, b"b" * 20


def known(upload_id: int, *, indexer: str = "scip-go", root: str = "", by: int | None = None) -> Known:
    return Known(upload_id, COMMIT, root, indexer, by, False)


def answered(seen: dict[int, int], *uploads: Known) -> list[tuple[int, int]]:
    found = nearest(
        [Candidate(upload_id, distance) for upload_id, distance in seen.items()],
        {one.upload_id: one for one in uploads},
    )
    return [(one.upload_id, one.distance) for one in found]


def test_of_one_root_and_family_the_nearest_answers_and_of_equals_the_larger_id() -> None:
    assert answered({1: 2, 2: 1}, known(1), known(2, indexer="lsif-go")) == [(2, 1)]
    assert answered({1: 1, 2: 1}, known(1), known(2, indexer="lsif-go")) == [(2, 1)]
    assert answered({1: 1, 2: 1}, known(1), known(2, indexer="scip-python")) == [(1, 1), (2, 1)]
    assert answered({1: 1, 2: 9}, known(1), known(2, root="api/")) == [(1, 1), (2, 9)]


def test_what_was_replaced_gives_its_place_to_the_last_of_those_that_took_it() -> None:
    assert answered({1: 4}, known(1, by=2), known(2, by=3), known(3)) == [(3, 4)]
    assert answered({1: 4}, known(1, by=2)) == []  # what took its place is not known yet
    elsewhere = Known(2, OTHER, "", "scip-go", None, False)
    assert answered({1: 4}, known(1, by=2), elsewhere) == []
    assert answered({1: 4}, known(1, by=2), known(2, by=1)) == []


def test_what_is_deleted_or_unknown_answers_nowhere() -> None:
    gone = Known(1, COMMIT, "", "scip-go", None, True)
    assert answered({1: 0, 2: 3}, gone) == []
