"""The registrar: makes a registered repository readable here, and says so (DESIGN sections 2 and 6).

A path is used in place; a URL is mirrored. What it says is ``repository.pushed`` (the clone is ready) or
``repository.clone_failed`` with a reason.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from schemas.codec import new_event
from schemas.envelope import Event
from schemas.events import RefMove, RepositoryCloneFailed, RepositoryPushed, RepositoryRegistered
from schemas.ids import derived_event_id
from schemas.topics import Topic
from streams.agent import AgentSpec, Context, Outgoing, Received
from streams.leases import Leases
from streams.repositories.clones import Clones
from streams.repositories.location import CloneRefused, mirror_path
from streams.repositories.mirror import ensure_mirror, fetch_mirror
from streams.search.engine import Engine, EngineError, RepositoryState
from streams.search.git.command import Git
from streams.threads import Interrupt, on_thread
from streams.transient import is_transient

SOURCE: Final = "//millstream/registrar"
MAX_REFS: Final = 1_000
MAX_REFS_BYTES: Final = 400_000
"""Of all names together: with the commits and what JSON adds this stays below what the log takes."""
_AT_ONCE: Final = 4
_MESSAGE_CHARACTERS: Final = 1_000
_log = structlog.get_logger()


class Registrar:
    """One per process; repositories of one partition are worked on under its lease."""

    def __init__(self, clones: Clones, engine: Engine, leases: Leases) -> None:
        self._clones = clones
        self._engine = engine
        self._leases = leases
        self._room = asyncio.Semaphore(_AT_ONCE)

    @property
    def spec(self) -> AgentSpec:
        return AgentSpec(
            name="registrar", topics=(Topic.REPOSITORIES,), types=(RepositoryRegistered,), handler=self.handle
        )

    async def handle(self, batch: Sequence[Received], context: Context) -> Sequence[Outgoing]:
        """Every outcome is published as it comes, so that one long clone holds no other repository back."""
        by_partition: dict[int, list[Received]] = defaultdict(list)
        for received in batch:
            by_partition[received.position.partition].append(received)
        async with asyncio.TaskGroup() as group:
            for partition, inputs in by_partition.items():
                group.create_task(self._partition(partition, inputs, context))
        return ()

    async def _partition(self, partition: int, batch: Sequence[Received], context: Context) -> None:
        newest: dict[int, Event] = {}
        for received in batch:
            if isinstance(received.event.data, RepositoryRegistered):
                newest[received.event.data.repository_id] = received.event
        async with self._leases.partition(partition), asyncio.TaskGroup() as group:
            for event in newest.values():
                group.create_task(self._repository(event, context))

    async def _repository(self, event: Event, context: Context) -> None:
        if not isinstance(event.data, RepositoryRegistered):
            return
        data = event.data
        async with self._room, self._clones.lock(data.repository_id):
            outcome = await on_thread(lambda interrupt: self.make_readable(data, interrupt))
        event_id = derived_event_id(*_what_makes_it_unique(outcome), event.id)
        await context.publish(
            [Outgoing(new_event(outcome, source=SOURCE, time=context.now(), event_id=event_id, cause=event))]
        )

    def make_readable(
        self, data: RepositoryRegistered, interrupt: Interrupt | None = None
    ) -> RepositoryPushed | RepositoryCloneFailed:
        """Blocks while git works. What is wrong with the repository is a result, not an error."""
        try:
            before, repository = self._prepare(data, interrupt)
            state = self._engine.describe(repository)
            return _pushed(data.repository_id, repository, before, state)
        except CloneRefused as error:
            reason, message = error.reason, str(error)
        except EngineError as error:
            reason, message = "not-a-repository", str(error)
        except (OSError, ValueError) as error:
            if is_transient(error):
                raise
            # A name too long, a folder that may not be entered: it will be no better when tried again.
            reason, message = "unreadable", f"{type(error).__name__}: {error}"
        message = message[:_MESSAGE_CHARACTERS]
        _log.warning(
            "clone_failed", repository=data.repository_id, name=data.name, reason=reason, message=message
        )
        return RepositoryCloneFailed(repository_id=data.repository_id, reason=reason, message=message)

    def _prepare(
        self, data: RepositoryRegistered, interrupt: Interrupt | None
    ) -> tuple[RepositoryState | None, Path]:
        """(what the clone was before this, None when new; its folder)."""
        if data.path is not None:
            folder = Path(data.path)
            if not folder.is_absolute():
                raise CloneRefused(
                    "path-not-absolute",
                    f"{data.path!r} is not absolute",
                    remedy="Register the absolute path.",
                )
            if not folder.is_dir():
                raise CloneRefused("path-missing", f"{data.path} is no folder on this machine")
            return None, folder
        if data.clone_url is None:
            raise CloneRefused("no-location", "neither a path nor a clone URL was given")
        mirror = mirror_path(self._clones.home, data.repository_id)
        before = self._engine.describe(mirror) if mirror.is_dir() else None
        if before is None:
            ensure_mirror(
                self._clones.home, data.repository_id, data.clone_url, self._clones.policy, interrupt
            )
        else:
            fetch_mirror(mirror, data.clone_url, self._clones.policy, interrupt)
        return before, mirror


def _pushed(
    repository_id: int, repository: Path, before: RepositoryState | None, state: RepositoryState
) -> RepositoryPushed:
    refs, omitted = _refs(repository, before, state)
    return RepositoryPushed(
        repository_id=repository_id,
        default_branch=_utf8(state.default_branch),
        tip=state.tip,
        previous_tip=None if before is None else before.tip,
        refs=refs,
        refs_omitted=omitted,
        refs_fingerprint=state.refs_fingerprint,
        shallow=state.shallow,
    )


def _refs(
    repository: Path, before: RepositoryState | None, state: RepositoryState
) -> tuple[list[RefMove], int]:
    """The default branch's move and, for a new clone, other branches and tags as far as an event may hold them."""
    refs: list[RefMove] = []
    own = f"refs/heads/{state.default_branch}"
    if (
        state.tip is not None
        and _utf8(state.default_branch) is not None
        and (before is None or before.tip != state.tip)
    ):
        refs.append(RefMove(ref=own, old=None if before is None else before.tip, new=state.tip))
    if before is not None:
        return refs, 0
    listed = Git(repository).run(
        "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"
    )
    others = [line.decode(errors="replace").split(" ", 1) for line in listed.splitlines()]
    others = [one for one in others if one[1] != own]
    room_bytes = MAX_REFS_BYTES
    for commit, name in others[:MAX_REFS]:
        room_bytes -= len(name.encode())
        if room_bytes < 0:
            break
        refs.append(RefMove(ref=name, old=None, new=commit))
    return refs, len(others) - sum(move.ref != own for move in refs)


def _what_makes_it_unique(outcome: RepositoryPushed | RepositoryCloneFailed) -> tuple[str, str]:
    if isinstance(outcome, RepositoryPushed):
        return "repository.pushed", outcome.refs_fingerprint
    return "repository.clone_failed", outcome.reason


def _utf8(name: str | None) -> str | None:
    """A branch name that is not UTF-8 cannot be written in JSON: the reader then takes the default branch."""
    if name is None or not name.isprintable():
        return None
    try:
        name.encode()
    except UnicodeEncodeError:
        return None
    return name
