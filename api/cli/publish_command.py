"""``millstream publish``: events from a file onto the log, each one checked first."""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
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
from projections.judged import PENDING, REJECTED, Verdict, owner_of, verdict
from projections.reading import Reader
from schemas.envelope import Event, Position
from schemas.errors import MillstreamError
from schemas.validation import EventRefused, FieldProblem, event_from

REFUSED: Final = "REFUSED"
VALID: Final = "VALID"
_BAD: Final = 1
_PENDING: Final = 3
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
        """REFUSED (not published), VALID (dry run), PENDING (on the log, not yet judged), ACCEPTED, REJECTED or DUPLICATE."""
        if self.event is None:
            return REFUSED
        if self.position is None:
            return VALID
        return PENDING if self.verdict is None else self.verdict.state

    @property
    def told(self) -> str:
        """The state with what belongs to it: ACCEPTED v3, REJECTED reason, DUPLICATE of position."""
        found = self.verdict
        if found is None or found.state == PENDING:
            return self.state
        if found.of is not None:
            return f"{found.state} of {found.of}"
        version = f" v{found.version}" if found.version is not None else ""
        return f"{found.state}{version}{f' {found.reason}' if found.reason else ''}"

    def as_json(self) -> dict[str, object]:
        found = self.verdict
        return {
            "line": self.line,
            "item": self.item,
            "id": self.event.id if self.event else None,
            "type": self.event.type.name if self.event else None,
            "state": self.state,
            "position": str(self.position) if self.position else None,
            "version": found.version if found else None,
            "reason": found.reason if found else None,
            "of": str(found.of) if found and found.of else None,
            "problems": [{"path": problem.path, "reason": problem.reason} for problem in self.problems],
        }


@click.command(
    epilog="Example: millstream publish events.ndjson --dry-run && millstream publish events.ndjson --wait"
)
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Check everything, publish nothing.")
@click.option("--wait", is_flag=True, help="Return when each is judged and applied, and say the verdict.")
@click.option("--timeout", "timeout_s", default=60.0, show_default=True, help="Longest wait, in seconds.")
@click.option(
    "--expected-version",
    type=click.IntRange(min=0),
    help="Of a single event: reject it unless its aggregate is at this version.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="A JSON list, one object per event: {line, item, id, type, state, position, version, reason, of, problems}.",
)
def publish(
    file: IO[bytes],
    dry_run: bool,
    wait: bool,
    timeout_s: float,
    expected_version: int | None,
    as_json: bool,
) -> None:
    """Publish the events in FILE (- reads standard input).

    One CloudEvent in JSON (structured form) per line, or one, or an array. What is wrong with an event is said with its line and the
    path of the field; the good ones are published all the same. The record key is computed from the payload.

    \b
    States: PENDING (on the log, not yet judged), and with --wait
      ACCEPTED v3      legal, and applied; the aggregate is at version 3 (open types have no version)
      REJECTED why     refused by its entity's rule: nothing changed
      DUPLICATE of X   the same source and id was accepted at X before: nothing changed, all is well
    Exit codes: 0 all published (with --wait: accepted, or duplicates); 1 one was refused or rejected;
    2 the command line is wrong; 3 one was still pending when the time was over.
    """
    judged = list(read_events(file.read(), expected_version))
    if not judged:
        raise InputEmpty(
            "no events in the input", remedy="give one CloudEvent in JSON per line, or an array of them"
        )
    if expected_version is not None and len(judged) > 1:
        raise click.UsageError(
            f"--expected-version is for a single event, these are {len(judged)}: give each its attribute expectedversion"
        )
    good = [one for one in judged if one.event is not None]
    for _ in range(len(judged) - len(good)):
        EVENTS_REFUSED.labels(type="unknown").inc()
    if good and not dry_run:
        settings = load_settings()
        publish_all(settings, good)
        if wait:
            wait_verdicts(settings, good, timeout_s)
    if as_json:
        print_json([one.as_json() for one in judged])
    else:
        for one in judged:
            _echo(one)
    sys.exit(_ended(judged, wait=wait and not dry_run))


def _ended(judged: Sequence[Judged], *, wait: bool) -> int:
    """The exit code; says on standard error why it is not 0."""
    bad = sum(one.state in (REFUSED, REJECTED) for one in judged)
    if bad:
        click.echo(f"{bad} of {len(judged)} events were refused", err=True)
        return _BAD
    pending = sum(one.state == PENDING for one in judged) if wait else 0
    if pending:
        click.echo(
            f"{pending} of {len(judged)} events are not judged yet: publish them again, or see millstream lag",
            err=True,
        )
        return _PENDING
    return 0


def read_events(content: bytes, expected_version: int | None = None) -> Iterator[Judged]:
    """The events of a file, each one checked; with the version that each has to expect, where one is given."""
    stripped = content.strip()
    if stripped.startswith(b"[") or (stripped.startswith(b"{") and b"\n" in stripped and _is_one(stripped)):
        yield from _whole(content, stripped, expected_version)
        return
    for number, line in enumerate(content.splitlines(), start=1):
        if line.strip():
            yield _judged(line, number, expected_version)


def publish_all(settings: Settings, good: Sequence[Judged]) -> None:
    """Publish in the order of the file; sets ``position``. Raises PublishFailed."""
    with Publisher(settings, client_id="millstream-publish") as publisher:
        for start in range(0, len(good), _BATCH):
            part = good[start : start + _BATCH]
            positions = publisher.publish([one.event for one in part if one.event is not None])
            for one, position in zip(part, positions, strict=True):
                one.position = position


def wait_verdicts(settings: Settings, good: Sequence[Judged], timeout_s: float) -> None:
    """Wait until every projection that reads these events has passed them; sets ``verdict``, PENDING where the time was over."""
    with ExitStack() as resources:
        # The worker's role: dead letters hold foreign bytes, and the API's role may not read them.
        engine: Engine = make_engine(settings, Role.WORKER, pool_size=2, name="publish")
        resources.callback(engine.dispose)
        reader = Reader(engine)
        resources.callback(reader.close)
        deadline_s = time.monotonic() + timeout_s
        positions = [one.position for one in good if one.position is not None]
        passed = all(
            reader.wait_for(name, positions, max(0.0, deadline_s - time.monotonic()))
            for name in readers_of(position.topic for position in positions)
        )
        if not passed:
            click.echo(
                f"the projections have not passed all of them after {timeout_s:g} s: millstream lag", err=True
            )
        with engine.connect() as connection:
            for one in good:
                if one.position is not None:
                    one.verdict = verdict(connection, one.position)


def readers_of(topics: Iterable[str]) -> list[str]:
    """The projections that read these topics, those who judge first: a verdict should not wait for the others."""
    wanted = set(topics)
    names = [one.name for one in PROJECTIONS if not wanted.isdisjoint(one.topics)]
    owners = {owner_of(topic) for topic in wanted}
    return sorted(names, key=lambda name: name not in owners)


def _is_one(stripped: bytes) -> bool:
    """Whether this is one object over several lines."""
    try:
        orjson.loads(stripped)
    except orjson.JSONDecodeError:
        return False
    return True


def _whole(content: bytes, stripped: bytes, expected_version: int | None) -> Iterator[Judged]:
    try:
        found = orjson.loads(stripped)
    except orjson.JSONDecodeError as error:
        yield Judged(line=error.lineno, problems=[FieldProblem("$", f"is not JSON: {error}")])
        return
    if not isinstance(found, list):
        yield _checked(found, content[: content.find(b"{")].count(b"\n") + 1, None, expected_version)
        return
    for item, one in enumerate(found):
        yield _checked(one, 1, item, expected_version)


def _judged(line: bytes, number: int, expected_version: int | None) -> Judged:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Judged(line=number, problems=[FieldProblem("$", f"is not JSON: {error}")])
    return _checked(found, number, None, expected_version)


def _checked(found: object, line: int, item: int | None, expected_version: int | None) -> Judged:
    if expected_version is not None and isinstance(found, dict):
        found = {**found, "expectedversion": expected_version}
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
    click.echo(f"{one.place}: {one.told}{where} {one.event.type.name} {one.event.id}")


commands: list[click.Command] = [publish]
