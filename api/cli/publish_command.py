"""``millstream publish``: events from a file onto the log, each one checked first."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import IO, Final

import click
import msgspec
import orjson
from sqlalchemy import Engine

from api.cli.output import print_json
from infra.kafka.producer import Publisher
from infra.metrics import EVENTS_REFUSED
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings, load_settings
from projections.catalogue import PROJECTIONS
from projections.judged import Verdict, verdict
from projections.reading import Reader
from schemas.envelope import Event, Position
from schemas.errors import MillstreamError
from schemas.validation import EventRefused, FieldProblem, event_from

_REFUSED: Final = 1
_BATCH: Final = 1_000


class InputEmpty(MillstreamError):
    """There is no event in what was given."""


class Judged(msgspec.Struct, kw_only=True):
    """What became of one event of the file. ``line`` counts from 1; ``item`` is its place in a JSON array."""

    line: int
    item: int | None = None
    event: Event | None = None
    problems: Sequence[FieldProblem] = ()
    position: Position | None = None
    verdict: Verdict | None = None

    @property
    def place(self) -> str:
        return f"line {self.line}" if self.item is None else f"event {self.item}"

    @property
    def state(self) -> str:
        """REFUSED (not published), VALID (dry run), PENDING (on the log), ACCEPTED or REJECTED."""
        if self.event is None:
            return "REFUSED"
        if self.position is None:
            return "VALID"
        return "PENDING" if self.verdict is None else self.verdict.state

    def as_json(self) -> dict[str, object]:
        return {
            "line": self.line,
            "item": self.item,
            "id": self.event.id if self.event else None,
            "type": self.event.type.name if self.event else None,
            "state": self.state,
            "position": str(self.position) if self.position else None,
            "reason": self.verdict.reason if self.verdict else None,
            "problems": [{"path": problem.path, "reason": problem.reason} for problem in self.problems],
        }


@click.command(
    epilog="Example: millstream publish events.ndjson --dry-run && millstream publish events.ndjson --wait"
)
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Check everything, publish nothing.")
@click.option("--wait", is_flag=True, help="Return when every projection that reads them has passed them.")
@click.option("--timeout", "timeout_s", default=60.0, show_default=True, help="Longest wait, in seconds.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object per event.")
def publish(file: IO[bytes], dry_run: bool, wait: bool, timeout_s: float, as_json: bool) -> None:
    """Publish the events in FILE (- reads standard input).

    One CloudEvent in JSON (structured form) per line, or one, or an array. What is wrong with an event is said with its line and the
    path of the field; the good ones are published all the same, and the exit code is 1. The record key is computed from
    the payload.
    """
    judged = list(read_events(file.read()))
    if not judged:
        raise InputEmpty(
            "no events in the input", remedy="give one CloudEvent in JSON per line, or an array of them"
        )
    good = [one for one in judged if one.event is not None]
    for one in judged:
        if one.event is None:
            EVENTS_REFUSED.labels(type="unknown").inc()
    if good and not dry_run:
        settings = load_settings()
        publish_all(settings, good)
        if wait:
            wait_judged(settings, good, timeout_s)
    if as_json:
        print_json([one.as_json() for one in judged])
    else:
        for one in judged:
            _echo(one)
    bad = sum(one.state in ("REFUSED", "REJECTED") for one in judged)
    if bad:
        click.echo(f"{bad} of {len(judged)} events were refused", err=True)
        sys.exit(_REFUSED)


def read_events(content: bytes) -> Iterator[Judged]:
    """The events of a file, each one checked."""
    stripped = content.strip()
    if stripped.startswith(b"[") or (stripped.startswith(b"{") and b"\n" in stripped and _is_one(stripped)):
        yield from _whole(content, stripped)
        return
    for number, line in enumerate(content.splitlines(), start=1):
        if line.strip():
            yield _judged(line, number)


def publish_all(settings: Settings, good: Sequence[Judged]) -> None:
    """Publish in the order of the file; sets ``position``. Raises PublishFailed."""
    with Publisher(settings, client_id="millstream-publish") as publisher:
        for start in range(0, len(good), _BATCH):
            part = good[start : start + _BATCH]
            positions = publisher.publish([one.event for one in part if one.event is not None])
            for one, position in zip(part, positions, strict=True):
                one.position = position


def wait_judged(settings: Settings, good: Sequence[Judged], timeout_s: float) -> None:
    """Wait for every projection that reads these topics; sets ``verdict`` (left out where the time was over)."""
    with ExitStack() as resources:
        # The worker's role: dead letters hold foreign bytes, and the API's role may not read them.
        engine: Engine = make_engine(settings, Role.WORKER, pool_size=2, name="publish")
        resources.callback(engine.dispose)
        reader = Reader(engine)
        resources.callback(reader.close)
        positions = [one.position for one in good if one.position is not None]
        passed = all(
            reader.wait_for(projection.name, positions, timeout_s)
            for projection in PROJECTIONS
            if any(position.topic in projection.topics for position in positions)
        )
        if not passed:
            click.echo(
                f"the projections have not passed all of them after {timeout_s:g} s: millstream lag", err=True
            )
            return
        with engine.connect() as connection:
            for one in good:
                if one.position is not None and one.event is not None:
                    said = (one.event.source, one.event.id)
                    one.verdict = verdict(connection, one.position, said)


def _is_one(stripped: bytes) -> bool:
    """Whether this is one object over several lines."""
    try:
        orjson.loads(stripped)
    except orjson.JSONDecodeError:
        return False
    return True


def _whole(content: bytes, stripped: bytes) -> Iterator[Judged]:
    try:
        found = orjson.loads(stripped)
    except orjson.JSONDecodeError as error:
        yield Judged(line=error.lineno, problems=[FieldProblem("$", f"is not JSON: {error}")])
        return
    if not isinstance(found, list):
        yield _checked(found, content[: content.find(b"{")].count(b"\n") + 1, None)
        return
    for item, one in enumerate(found):
        yield _checked(one, 1, item)


def _judged(line: bytes, number: int) -> Judged:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Judged(line=number, problems=[FieldProblem("$", f"is not JSON: {error}")])
    return _checked(found, number, None)


def _checked(found: object, line: int, item: int | None) -> Judged:
    try:
        return Judged(line=line, item=item, event=event_from(found))
    except EventRefused as error:
        return Judged(line=line, item=item, problems=error.problems)


def _echo(one: Judged) -> None:
    if one.event is None:
        for problem in one.problems:
            click.echo(f"{one.place}: REFUSED {problem.path} {problem.reason}", err=True)
        return
    where = f" {one.position}" if one.position is not None else ""
    why = f" {one.verdict.reason}" if one.verdict is not None and one.verdict.reason else ""
    click.echo(f"{one.place}: {one.state}{where} {one.event.type.name} {one.event.id}{why}")
