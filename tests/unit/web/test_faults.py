"""A chart that is incomplete names the repositories at fault, once for each reason, with a link."""

from datetime import UTC, datetime

import msgspec
from starlette.testclient import TestClient

from api.web.answers import View, insight
from api.web.faults import NAMED, faults
from api.web.model import Cell, Insight
from tests.unit.web.fixture import view

_AT = datetime(2026, 11, 1, tzinfo=UTC)


def _insight(*, loading: bool = False) -> Insight:
    return insight(msgspec.convert(view(1, "t", [], loading=loading), View))


def _cell(name: str, code: str, *, complete: bool = False) -> Cell:
    return Cell(repository=name, location="", commit="", value=None, complete=complete, reason_code=code)


def test_each_reason_once_with_the_names() -> None:
    cells = {
        ("s", _AT): [
            _cell("b", "clone-error"),
            _cell("a", "clone-error: 128"),
            _cell("c", "", complete=True),
        ],
        ("s", datetime(2026, 11, 2, tzinfo=UTC)): [_cell("b", "not-counted"), _cell("d", "shallow")],
    }
    found = faults(_insight(), cells)
    assert [(one.repositories, one.words, one.mends) for one in found] == [
        (("a", "b"), "could not be cloned", True),
        (("d",), "a shallow clone, whose history ends too early", False),
    ]


def test_what_is_being_counted_is_nobodys_fault() -> None:
    cells = {("s", _AT): [_cell("b", "pending")]}
    assert faults(_insight(loading=True), cells) == []
    assert [one.words for one in faults(_insight(), cells)] == ["not counted yet"]


def test_of_many_the_first_are_named() -> None:
    cells = {("s", _AT): [_cell(f"r{number}", "clone-error") for number in range(NAMED + 3)]}
    (found,) = faults(_insight(), cells)
    assert (found.repositories, found.more) == (("r0", "r1", "r2", "r3", "r4"), 3)


def test_a_frame_that_there_is_not_is_told_so(client: TestClient) -> None:
    page = client.get("/insights/1?at=<foo>").text
    assert "This insight has no point at &lt;foo&gt;" in page
    assert 'id="no-frame"' not in client.get("/insights/1").text
