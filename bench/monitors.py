"""Two hundred monitors: how long from a push to the webhook, and what does a look cost where nothing moved?

    python -m bench.monitors [--monitors 200] [--repositories 50] [--quiet 40000]

**Pushes.** A stack with projector and worker of its own; every repository gets one push, told by a refresh request as a hook tells it. Each of the monitors looks
for a word of its own over all repositories, and each push holds one of these words, so that every run is evaluated and each push reaches one webhook.
``commits_per_s`` counts pushed commits until every run of every monitor has an outcome; ``p95_push_to_webhook_s`` is from the request acknowledged
to the webhook received. ``us_per_monitor_and_commit`` is the engine alone: one read of a history, asked by all monitors together.

**Quiet.** A projection filled with that many repositories, each pushed since the monitors began and covered by an outcome of every monitor whose scope it is in
(five each). ``tick_s`` is one look of a new leader, which knows nothing yet; ``tick_again_s`` the next one, ``tick_unpushed_s`` the first where no repository was pushed since.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import text

from bench.running import PROGRAMS, register, running, until
from bench.small_repositories import small_repositories
from infra.kafka.producer import Publisher
from infra.postgres.connect import connect
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.catalogue import MONITORS, REPOSITORIES
from projections.folding import Folding
from projections.generations import ensure_generation
from projections.reading import Reader
from schemas.codec import new_event
from schemas.envelope import Position
from schemas.events import (
    ActionKind,
    FiredRun,
    FiringCause,
    MonitorAction,
    MonitorCreated,
    RepositoryPushed,
    RepositoryRefreshRequested,
    RepositoryRegistered,
    RunOutcome,
    RunStatus,
    SecretPlace,
    TriggerEvaluated,
    TriggerFired,
)
from schemas.registry import Payload
from schemas.topics import Topic
from streams.agent import Outgoing
from streams.monitors.firer import Firer
from streams.monitors.forgetting import SIGNING_KIND
from streams.monitors.ticking import MonitorClock
from streams.search.history.engine import HistoryEngine, NewIn
from streams.search.query import parse_history
from tests.support.doors import FolderSecrets
from tests.support.receiver import Told, receiving
from tests.support.repositories import git

_SOURCE: Final = "//millstream/bench"
_CHILD: Final = "tests.integration.monitors.child"
_WAIT_S: Final = 300.0
_OWNER: Final = "bench"
_IN_SCOPE: Final = 5
"""Monitors whose scope a quiet repository is in."""
_ENGINE_COMMITS: Final = 200


def word(number: int) -> str:
    """What monitor ``number`` looks for."""
    return f"needle_{number:04}_end"


def created(
    number: int, query: str, secrets: FolderSecrets | None, url: str, now: datetime
) -> MonitorCreated:
    """A monitor with one webhook."""
    place, key = SecretPlace(ref="none", fingerprint="", host="127.0.0.1"), None
    if secrets is not None:
        ref = secrets.put(f"{url}/{number}", kind="webhook-url", owner=_OWNER)
        place = SecretPlace(ref=ref.ref, fingerprint=ref.fingerprint, host="127.0.0.1")
        signing = secrets.put("whsec_" + "A" * 43 + "=", kind=SIGNING_KIND, owner=_OWNER)
        key = SecretPlace(ref=signing.ref, fingerprint=signing.fingerprint)
    action = MonitorAction(
        action_id=number, kind=ActionKind.WEBHOOK, include_results=True, url=place, signing=key
    )
    return MonitorCreated(
        monitor_id=number,
        description=f"bench {number}",
        owner=_OWNER,
        created_at=now,
        query=query,
        actions=[action],
    )


def pushes(folder: Path, monitors: int, number: int) -> Mapping[str, object]:
    """The figures of the whole way. Raises SystemExit when somebody was not told."""
    paths = small_repositories(folder / "repositories", number, datetime.now(UTC))
    with ExitStack() as undo:
        receiver = undo.enter_context(receiving())
        doors = folder / "doors"
        settings = undo.enter_context(
            running(
                folder / "home",
                (PROGRAMS[0], (_CHILD, str(doors), "hands"), (_CHILD, str(doors), "heads")),
                MILLSTREAM_ACTION_ALLOWED_HOSTS="127.0.0.1",
            )
        )
        publisher = undo.enter_context(Publisher(settings))
        database = make_engine(settings, Role.WORKER, pool_size=2, name="bench")
        undo.callback(database.dispose)
        reader = Reader(database)
        undo.callback(reader.close)
        ids = list(register(paths, publisher, reader, wait_s=_WAIT_S).items())
        secrets = FolderSecrets(doors)
        now = datetime.now(UTC)
        _say(
            publisher,
            [
                created(one, f"type:diff {word(one)}", secrets, receiver.url("/hook"), now)
                for one in range(1, monitors + 1)
            ],
        )
        until(lambda: _monitors(reader) == monitors, "the monitors", _WAIT_S)
        told_s: dict[int, float] = {}

        def heard(told: Told) -> None:
            told_s.setdefault(int(told.path.rpartition("/")[2]), time.perf_counter())

        receiver.on_request = heard
        _round(publisher, reader, ids[:1], monitors, monitors)  # the first of everything
        until(lambda: len(told_s) == 1, "the first webhook", _WAIT_S)
        said_s: dict[int, float] = {}
        began_s = time.perf_counter()
        for place, (repository_id, path) in enumerate(ids[1:], start=1):
            _commit(path, place % monitors + 1)
            _say(publisher, [RepositoryRefreshRequested(repository_id=repository_id)])
            said_s[place % monitors + 1] = time.perf_counter()
        until(lambda: _outcomes(reader) == number * monitors, "every outcome", _WAIT_S)
        spent_s = time.perf_counter() - began_s
        until(lambda: set(said_s) <= set(told_s), "every webhook", _WAIT_S)
        alone_s = _one_at_a_time(publisher, ids, told_s, monitors)
    waits = sorted(told_s[one] - said_s[one] for one in said_s)
    return {
        "commits_per_s": round((number - 1) / spent_s, 1),
        "p50_push_to_webhook_s": round(statistics.median(waits), 2),
        "p95_push_to_webhook_s": round(waits[int(len(waits) * 0.95)], 2),
        "alone_push_to_webhook_s": round(alone_s, 2),
    }


def _one_at_a_time(
    publisher: Publisher, ids: Sequence[tuple[int, Path]], told_s: dict[int, float], monitors: int
) -> float:
    """The median where nothing else is pushed."""
    waits = []
    for place, (repository_id, path) in enumerate(ids[1:11], start=1):
        number = monitors - place
        told_s.pop(number, None)
        _commit(path, number)
        _say(publisher, [RepositoryRefreshRequested(repository_id=repository_id)])
        said_s = time.perf_counter()
        until(lambda number=number: number in told_s, "a webhook", _WAIT_S)  # type: ignore[misc]
        waits.append(told_s[number] - said_s)
    return statistics.median(waits)


def _round(
    publisher: Publisher, reader: Reader, ids: Sequence[tuple[int, Path]], number: int, outcomes: int
) -> None:
    for repository_id, path in ids:
        _commit(path, number)
        _say(publisher, [RepositoryRefreshRequested(repository_id=repository_id)])
    until(lambda: _outcomes(reader) == outcomes, "the first outcomes", _WAIT_S)


def _commit(path: Path, number: int) -> None:
    """One commit on the bare repository's branch, a file of 40 lines with the word."""
    text = "".join(f"value_{line} = compute({number})\n" for line in range(40)) + word(number) + "\n"
    blob = git(path, "hash-object", "-w", "--stdin", stdin=text.encode()).decode().strip()
    tree = git(path, "mktree", stdin=f"100644 blob {blob}\tpushed_{number}.py\n".encode()).decode().strip()
    commit = git(path, "commit-tree", tree, "-p", "refs/heads/main", "-m", "pushed").decode().strip()
    git(path, "update-ref", "refs/heads/main", commit)


def _say(publisher: Publisher, payloads: Sequence[Payload]) -> None:
    now = datetime.now(UTC)
    publisher.publish([new_event(one, source=_SOURCE, time=now) for one in payloads])


def _monitors(reader: Reader) -> int:
    return _counted(reader, "select count(*) from {}.cm_monitors where begun_at is not null")


def _outcomes(reader: Reader) -> int:
    return _counted(reader, "select count(*) from {}.cm_trigger_jobs where evaluated_at is not null")


def _counted(reader: Reader, statement: str) -> int:
    with reader.snapshot(("monitors",)) as snapshot:
        schema = snapshot.generations["monitors"].schema_name
        return int(snapshot.connection.execute(text(statement.format(f'"{schema}"'))).scalar_one())


def engine_alone(folder: Path, monitors: int) -> Mapping[str, object]:
    """One history, read once, asked by all monitors."""
    (path,) = small_repositories(folder / "engine", 1, datetime.now(UTC))
    base = git(path, "rev-parse", "refs/heads/main").decode().strip()
    for number in range(_ENGINE_COMMITS):
        _commit(path, number % monitors + 1)
    asked = [
        NewIn(query=parse_history(f"type:diff {word(one)}"), searched=(base,))
        for one in range(1, monitors + 1)
    ]
    began_s = time.perf_counter()
    found = HistoryEngine(path, None).find(asked)
    spent_s = time.perf_counter() - began_s
    if sum(one.count for one in found) < _ENGINE_COMMITS:
        raise SystemExit("a commit was not found")
    return {"us_per_monitor_and_commit": round(1e6 * spent_s / (monitors * _ENGINE_COMMITS), 2)}


class _Nobody:
    """A context and a log that nothing happens on."""

    def __init__(self) -> None:
        self.published = 0

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def publish(self, outgoing: Sequence[Outgoing]) -> Sequence[Position]:
        self.published += len(outgoing)
        return [Position("millstream.bench", 0, 0) for _ in outgoing]

    def ends(self, topics: object) -> Mapping[tuple[str, int], int]:
        return {}

    def group_offsets(self, group: str) -> Mapping[tuple[str, int], int]:
        return {(Topic.REPOSITORIES, 0): 2**53}


def quiet(settings: Settings, monitors: int, repositories: int) -> Mapping[str, object]:
    """What one look costs."""
    began_at = datetime.now(UTC) - timedelta(hours=2)
    engine = make_engine(settings, Role.PROJECTOR, pool_size=2)
    scopes = max(1, monitors // _IN_SCOPE)
    made = [
        created(one, f"repo:/s{one % scopes}/ type:diff x", None, "", began_at)
        for one in range(1, monitors + 1)
    ]
    registered = [
        RepositoryRegistered(
            repository_id=one, name=f"bench.example/s{one % scopes}/r{one}", path=f"/srv/{one}"
        )
        for one in range(1, repositories + 1)
    ]
    first = [_pushed(one, None) for one in range(1, repositories + 1)]
    second = [_pushed(one, "a" * 40) for one in range(1, repositories + 1)]
    _fold(settings, engine, "repositories", [*registered, *first], began_at)
    figures: dict[str, object] = {}
    _fold(settings, engine, "monitors", [*registered, *first], began_at - timedelta(hours=1))
    _fold(settings, engine, "monitors", made, began_at)
    figures["tick_unpushed_s"] = _look(settings)[0]
    _fold(
        settings, engine, "monitors", second, began_at + timedelta(minutes=1), first_offset=repositories * 2
    )
    outcomes: list[Payload] = []
    for number, push in enumerate(second):
        offset = repositories * 2 + number
        watching = [one for one in made if one.monitor_id % scopes == push.repository_id % scopes]
        begun = {one.monitor_id: place for place, one in enumerate(made)}
        moment = f"push:{offset}"
        since = push.repository_id - 1  # where its registration lies
        outcomes += [
            TriggerFired(
                repository_id=push.repository_id,
                moment=moment,
                cause=FiringCause.PUSH,
                pushed_offset=offset,
                runs=[
                    FiredRun(
                        monitor_id=one.monitor_id, begun=begun[one.monitor_id], since=since, base=["a" * 40]
                    )
                    for one in watching
                ],
            ),
            TriggerEvaluated(
                repository_id=push.repository_id,
                moment=moment,
                pushed_offset=offset,
                outcomes=[
                    RunOutcome(
                        monitor_id=one.monitor_id,
                        begun=begun[one.monitor_id],
                        since=since,
                        status=RunStatus.COMPLETED,
                        tips=["b" * 40],
                    )
                    for one in watching
                ],
            ),
        ]
    _fold(settings, engine, "monitors", outcomes, began_at + timedelta(minutes=2))
    engine.dispose()
    figures["tick_s"], figures["tick_again_s"] = _look(settings)
    return figures


def _pushed(repository_id: int, previous: str | None) -> RepositoryPushed:
    tip = "a" * 40 if previous is None else "b" * 40
    return RepositoryPushed(
        repository_id=repository_id,
        default_branch="main",
        tip=tip,
        previous_tip=previous,
        refs_fingerprint=tip,
    )


def _fold(
    settings: Settings,
    engine: object,
    name: str,
    payloads: Sequence[Payload],
    at: datetime,
    first_offset: int = 0,
) -> None:
    one = MONITORS if name == "monitors" else REPOSITORIES
    schema = ensure_generation(engine, one).schema_name  # type: ignore[arg-type]
    with connect(settings, Role.PROJECTOR, autocommit=True) as connection:
        connection.execute(f'set search_path to "{schema}"'.encode())
        for start in range(0, len(payloads), 4_000):
            some = [
                Folding(
                    new_event(payload, source=_SOURCE, time=at),
                    Position(Topic.MONITORS, 0, first_offset + start + place),
                    at,
                )
                for place, payload in enumerate(payloads[start : start + 4_000])
            ]
            with connection.transaction(), connection.cursor() as cursor:
                one.prepare(some)(cursor)
        connection.execute(b"analyze")


def _look(settings: Settings) -> tuple[float, float]:
    """One look of a new leader, and the next. Raises SystemExit when something was begun."""
    database = make_engine(settings, Role.WORKER, pool_size=2, name="bench")
    reader, nobody = Reader(database), _Nobody()
    clock = MonitorClock(reader, nobody, nobody, Firer(reader, nobody, nobody, 8), nobody)
    found = []
    for _ in range(2):
        began_s = time.perf_counter()
        runs = asyncio.run(clock.find_moved())
        found.append(round(time.perf_counter() - began_s, 3))
        if runs or nobody.published:
            raise SystemExit(f"{runs} runs began though nothing moved")
    reader.close()
    database.dispose()
    return found[0], found[1]


def _quiet_alone(folder: Path, monitors: int, repositories: int) -> Mapping[str, object]:
    with running(folder / "quiet", ()) as settings:
        return quiet(settings, monitors, repositories)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--monitors", type=int, default=200)
    parser.add_argument("--repositories", type=int, default=50)
    parser.add_argument("--quiet", type=int, default=40_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as name:
        folder = Path(name)
        figures = dict(engine_alone(folder, given.monitors))
        figures |= pushes(folder, given.monitors, given.repositories)
        print(figures, file=sys.stderr)
        figures |= _quiet_alone(folder, given.monitors, given.quiet)
    print(json.dumps({"bench": "monitors", "checked": True, "figures": figures}), file=sys.stdout)


if __name__ == "__main__":
    main()
