"""The lines of the present: a commit that a monitor has caught, and an index that answers."""

from pathlib import Path

import msgspec

from api.demo import monitoring, uploading
from api.demo.causes import Link
from api.demo.figures import Present, Verified
from api.demo.monitoring import Caught
from api.demo.oracle import Witness
from api.demo.summary import told
from api.demo.uploading import Answering, Statistics, Uploaded
from streams.search.query import parse_history
from tests.unit.demo.test_showing import figures

STEPS = ("repository.pushed", "trigger.fired", "trigger.dispatched", "trigger.evaluated", "action.requested")
CHAIN = [
    Link(event=event, position=f"millstream.x/1@{number}")
    for number, event in enumerate((*STEPS, "action.succeeded"))
]
CAUGHT = Caught(
    monitor="bQ==",
    description=monitoring.DESCRIPTION,
    query="q",
    commit="c" * 40,
    results=1,
    delivery_id="d-1",
    seconds=1.256,
    chain=CHAIN,
)
UPLOADED = Uploaded(
    repository="sample/checkout",
    head="e" * 40,
    upload_id="123",
    made="made by somebody",
    size_bytes=9,
    statistics=Statistics(documents=1, symbols=2, occurrences=3_000),
    completed_s=0.5,
    visible_s=0.75,
    answers=Answering(id="x", input_commit="f" * 40, input_root="", input_indexer="scip-x", distance=2),
    chain=[
        Link(event="upload.state_changed", position="millstream.uploads/0@7", detail="to queued"),
        Link(event="upload.published", position="millstream.uploads/0@8"),
    ],
    page="http://127.0.0.1/x",
)
VERIFIED = Verified(projections=1, events=2, rows=3, different=0, seconds=0.1)


def lines_of(present: Present) -> list[str]:
    found = msgspec.structs.replace(figures(), present=present)
    return told(found, Witness(60, 60, 2.25), login_link=None, home=Path("/h"), own_code=False)


def test_monitor_and_upload_are_told_with_their_chains() -> None:
    lines = lines_of(Present(moved=None, caught=CAUGHT, recovered=None, uploaded=UPLOADED, verified=VERIFIED))
    at = next(number for number, line in enumerate(lines) if line.startswith("  monitor"))
    assert lines[at : at + 5] == [
        "  monitor   “New calls of the gateway” found 1 result in cccccccccc: webhook 1.26 s after the commit, signature"
        " verified by its receiver, delivery d-1",
        "            repository.pushed at millstream.x/1@0 -> trigger.fired -> trigger.dispatched -> trigger.evaluated"
        " -> action.requested -> action.succeeded",
        "  upload    SCIP index of sample/checkout (made by somebody: 1 document, 3,000 occurrences): completed 0.50 s after"
        " its first byte, visible at the tip after 0.75 s",
        "            upload.state_changed to queued at millstream.uploads/0@7 -> upload.published",
        "            at HEAD eeeeeeeeee answers upload 123 of scip-x at ffffffffff, 2 commits below",
    ]


def test_where_they_were_not_shown_nothing_is_said_of_them() -> None:
    text = "\n".join(lines_of(Present(moved=None, recovered=None, verified=VERIFIED)))
    assert "monitor" not in text
    assert "upload" not in text
    assert "verify" in text


def test_a_step_that_is_not_on_the_log_is_a_problem() -> None:
    assert monitoring.problem_of(CAUGHT) is None
    cut = msgspec.structs.replace(CAUGHT, chain=CHAIN[:-1])
    assert "no action.succeeded" in str(monitoring.problem_of(cut))
    assert uploading.problem_of(UPLOADED) is None
    unpublished = msgspec.structs.replace(UPLOADED, chain=UPLOADED.chain[:1])
    assert "was published" in str(uploading.problem_of(unpublished))


def test_query_of_the_monitor_is_one() -> None:
    assert parse_history(monitoring.query_of("sample/check-out"))
