"""Repositories that are pushed to, monitors that watch them, and what these owe: read from git, and from nothing of Millstream's."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from infra.kafka.producer import Publisher
from infra.postgres.role import Role
from infra.settings import Settings
from infra.vault import Vaults
from schemas.codec import new_event
from schemas.events import (
    ActionKind,
    MonitorAction,
    MonitorCreated,
    MonitorUpdated,
    RepositoryRefreshRequested,
    RepositoryRegistered,
    SecretPlace,
)
from schemas.ids import aggregate_id, repository_id
from schemas.registry import Payload
from tests.support.receiver import Receiver
from tests.support.repositories import git

KEY: Final = "whsec_" + "A" * 43 + "="
WORDS: Final = [
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "flint",
    "grove",
    "heron",
    "ivory",
    "jade",
    "kelp",
    "linen",
]
PER_PUSH: Final = 10
"""Monitors that a push concerns; the others must not hear of it."""
OWNER: Final = "owner"
Pair = tuple[str, str]
"""(word of the monitor, commit)."""


class Kind(StrEnum):
    """What a monitor looks at."""

    ADDED = "type:diff select:commit.diff.added"
    REMOVED = "type:diff select:commit.diff.removed"
    MESSAGE = "type:commit"


class Watch(NamedTuple):
    """A monitor: it tells of commits that add, remove or mention its word."""

    word: str
    kind: Kind

    @property
    def id(self) -> int:
        return aggregate_id("monitor", "tests", self.word)

    @property
    def query(self) -> str:
        return f"repo:^watched.test/ {self.kind} {self.word}"


class Followed:
    """A bare repository, and a clone from which somebody pushes."""

    def __init__(self, folder: Path, number: int) -> None:
        self.name = f"watched.test/{number}"
        self.id = repository_id(self.name)
        self.bare, self._work = folder / f"{number}.git", folder / f"{number}"
        self.bare.mkdir(parents=True)
        git(self.bare, "init", "-q", "--bare", "--initial-branch=main")
        git(folder, "clone", "-q", str(self.bare), str(self._work))
        self._lines = dict.fromkeys(WORDS, 0)
        self._pushes = number
        self._commit("from before", "words.txt", self._text())
        self._push()

    @cached_property
    def base(self) -> str:
        """What was there before anybody watched: read it then."""
        return git(self.bare, "rev-parse", "main").decode().strip()

    def push(self, words: Sequence[str]) -> None:
        """One more push, whose first commit says, adds and removes each word; every third brings another that says none."""
        self._pushes += 1
        self._lines.update(dict.fromkeys(words, self._pushes))
        self._commit(f"of {' '.join(words)}", "words.txt", self._text())
        if self._pushes % 3 == 0:
            self._commit("of nothing", "other.txt", f"{self._pushes}\n")
        self._push()

    def since(self) -> list[str]:
        """The commits after the base."""
        return git(self.bare, "rev-list", f"{self.base}..main").decode().split()

    def _text(self) -> str:
        return "".join(f"{word} {number}\n" for word, number in self._lines.items())

    def _commit(self, message: str, path: str, content: str) -> None:
        (self._work / path).write_text(content)
        git(self._work, "add", path)
        git(self._work, "commit", "-q", "-m", message)

    def _push(self) -> None:
        git(self._work, "push", "-q", "origin", "HEAD:main")


class Said(NamedTuple):
    """What a commit says, by kind of monitor."""

    texts: dict[Kind, str]

    @classmethod
    def by(cls, repository: Path, commit: str) -> "Said":
        shown = git(repository, "show", "-U0", "--format=%B%x00", commit).decode()
        message, _, diff = shown.partition("\0")
        lines = [line for line in diff.splitlines() if not line.startswith(("+++", "---"))]
        return cls(
            {
                Kind.MESSAGE: message,
                Kind.ADDED: "\n".join(line for line in lines if line.startswith("+")),
                Kind.REMOVED: "\n".join(line for line in lines if line.startswith("-")),
            }
        )


class Scene:
    """Who watches what, and who pushes."""

    def __init__(self, settings: Settings, publisher: Publisher, receiver: Receiver, folder: Path) -> None:
        self._publisher = publisher
        self._receiver = receiver
        self._vaults = Vaults(settings, Role.APP)
        self._folder = folder
        self._chance = random.Random(6)
        self._said: dict[str, Said] = {}
        kinds = tuple(Kind)
        self.watches = [Watch(word, kinds[number % len(kinds)]) for number, word in enumerate(WORDS)]
        self.followed: list[Followed] = []

    def register(self, repositories: int) -> None:
        """Follow so many repositories."""
        self.followed = [Followed(self._folder, number) for number in range(repositories)]
        self._publish(
            *(
                RepositoryRegistered(repository_id=one.id, name=one.name, path=str(one.bare))
                for one in self.followed
            )
        )

    def watch(self) -> None:
        """Begin to watch: what is in the repositories now is past."""
        assert all(one.base for one in self.followed)
        self._publish(
            *(
                MonitorCreated(
                    monitor_id=one.id,
                    description=one.word,
                    owner=OWNER,
                    created_at=datetime.now(UTC),
                    query=one.query,
                    actions=[self._action(one, f"/{one.word}")],
                )
                for one in self.watches
            )
        )

    def edit(self, watch: Watch) -> str:
        """The action of this monitor, and nothing else, is another from now on: the path at which it tells."""
        path = f"/{watch.word}/edited"
        self._publish(
            MonitorUpdated(
                monitor_id=watch.id,
                description=watch.word,
                actions=[self._action(watch, path)],
                changed_by=OWNER,
            )
        )
        return path

    def push(self, number: int) -> None:
        """Push to this repository, and tell of it as a hook does."""
        one = self.followed[number]
        one.push(self._chance.sample(WORDS, PER_PUSH))
        self._publish(RepositoryRefreshRequested(repository_id=one.id))

    def owed(self) -> set[Pair]:
        """What has to be told, from the repositories as they are now."""
        return {
            (watch.word, commit)
            for one in self.followed
            for commit in one.since()
            for watch in self.watches
            if watch.word in self._read(one, commit).texts[watch.kind]
        }

    def _read(self, repository: Followed, commit: str) -> Said:
        if commit not in self._said:
            self._said[commit] = Said.by(repository.bare, commit)
        return self._said[commit]

    def _action(self, watch: Watch, path: str) -> MonitorAction:
        url = self._receiver.url(path)
        return MonitorAction(
            action_id=watch.id,
            kind=ActionKind.WEBHOOK,
            include_results=True,
            url=self._secret(url, "webhook-url", "127.0.0.1"),
            signing=self._secret(KEY, "webhook-signing-key"),
        )

    def _secret(self, secret: str, kind: str, host: str = "") -> SecretPlace:
        with self._vaults.open() as vault:
            ref = vault.put(secret, kind=kind, owner=OWNER)
        return SecretPlace(ref=ref.ref, fingerprint=ref.fingerprint, host=host)

    def _publish(self, *payloads: Payload) -> None:
        self._publisher.publish(
            [new_event(one, source="//tests/watching", time=datetime.now(UTC)) for one in payloads]
        )
