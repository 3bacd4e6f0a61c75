"""What may happen to one repository that its commit graph depends on, as plain facts, and random histories of them."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, TypeAlias

ROOTS = ("", "api/", "web/")
INDEXERS = ("scip-go", "scip-python", "lsif-go")
AGES = (0, 2_160, 2_161, 8_760, 8_761, 20_000)
"""Hours that a tip is older than the newest push."""


class Ref(NamedTuple):
    """``age`` is how much older its tip is than the push."""

    name: str
    tip: str
    tag: bool
    default: bool
    age: timedelta


class Pushed(NamedTuple):
    """The refs have moved; ``number`` counts pushes from 0."""

    number: int


class Told(NamedTuple):
    """Part ``part`` of ``of`` of what a look for push ``push`` found. A commit without parents may be ``cut`` off."""

    push: int
    look: str
    part: int
    of: int
    commits: tuple[tuple[str, tuple[str, ...], bool], ...]
    refs: tuple[Ref, ...]


class Published(NamedTuple):
    """An upload answers, and others do not any more."""

    upload: int
    commit: str
    root: str
    indexer: str
    replaces: tuple[int, ...]


class Gone(NamedTuple):
    """An upload is being deleted, or is deleted."""

    upload: int
    deleted: bool


class Removed(NamedTuple):
    """The repository is followed no longer, or (``back``) again."""

    back: bool


Fact: TypeAlias = Pushed | Told | Published | Gone | Removed


class Streams(NamedTuple):
    """Facts of each topic, in its order: between topics there is none."""

    repository: list[Fact]
    commits: list[Fact]
    uploads: list[Fact]


def facts(random_: random.Random, most_commits: int = 60, most_uploads: int = 14) -> Streams:
    """One history: merges, several roots and indexers, forced pushes, a shallow clone, replaced and deleted uploads."""
    names, parents = _commits(random_, random_.randrange(1, most_commits))
    repository, told = _looks(random_, names, parents)
    return Streams(repository, told, _uploads(random_, names, random_.randrange(0, most_uploads)))


def interleaved(random_: random.Random, streams: Streams) -> list[Fact]:
    """The facts in some order that keeps each topic's."""
    queues = [list(reversed(stream)) for stream in streams]
    found: list[Fact] = []
    while any(queues):
        queue = random_.choice([one for one in queues if one])
        for _ in range(random_.randrange(1, 5)):
            if queue:
                found.append(queue.pop())
    return found


def cut(random_: random.Random, order: Sequence[Fact]) -> list[list[Fact]]:
    """The same in batches."""
    batches, at = [], 0
    while at < len(order):
        size = random_.choice((1, 2, 5, 50))
        batches.append(list(order[at : at + size]))
        at += size
    return batches


def _commits(random_: random.Random, number: int) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    names = [f"{one:040x}" for one in random_.sample(range(1 << 60), number)]
    parents: dict[str, tuple[str, ...]] = {}
    for place, name in enumerate(names):
        wanted = random_.choices((0, 1, 2, 3), (1, 30, 7, 1))[0] if place else 0
        near = names[max(0, place - 4) : place]
        parents[name] = tuple(random_.sample(near, min(wanted, len(near))))
    return names, parents


def _looks(
    random_: random.Random, names: list[str], parents: dict[str, tuple[str, ...]]
) -> tuple[list[Fact], list[Fact]]:
    repository: list[Fact] = [Removed(True)]
    told: list[Fact] = []
    known: set[str] = set()
    looks = random_.randrange(1, 5)
    for push in range(looks):
        repository.append(Pushed(push))
        there = names[: max(1, len(names) * (push + 1) // looks)]
        tips = random_.sample(there, random_.randrange(0, min(6, len(there) + 1)))
        refs = [
            Ref(f"r{number}", tip, random_.random() < 0.3, number == 0, timedelta(hours=random_.choice(AGES)))
            for number, tip in enumerate(tips)
        ]
        shallow = push == 0 and random_.random() < 0.2
        reached = _reached(tips, parents, random_.randrange(1, 5) if shallow else None)
        new = [
            (name, () if is_cut else parents[name], is_cut)
            for name, is_cut in reached.items()
            if name not in known
        ]
        random_.shuffle(new)
        whole = random_.random() < 0.9
        told += _parts(random_, push, new, refs, whole)
        if whole and not shallow:
            known |= reached.keys()
    if random_.random() < 0.05:
        repository.append(Removed(False))
        if random_.random() < 0.5:
            repository.append(Removed(True))
    return repository, told


def _parts(
    random_: random.Random,
    push: int,
    commits: list[tuple[str, tuple[str, ...], bool]],
    refs: list[Ref],
    whole: bool,
) -> list[Fact]:
    """The parts of one look; when not whole, one of them never comes; some come twice."""
    of = random_.randrange(1, 4) if whole else random_.randrange(2, 4)
    parts: list[Fact] = [
        Told(push, f"look-{push}", number + 1, of, tuple(commits[number::of]), tuple(refs[number::of]))
        for number in range(of)
    ]
    if not whole:
        del parts[random_.randrange(of)]
    if random_.random() < 0.2:
        parts += parts[: random_.randrange(of)]
    return parts


def _reached(tips: list[str], parents: dict[str, tuple[str, ...]], depth: int | None) -> dict[str, bool]:
    """What is reachable from the tips, at most ``depth`` commits deep, and whether it is cut off there."""
    found: dict[str, bool] = {}
    front = list(dict.fromkeys(tips))
    while front:
        depth = None if depth is None else depth - 1
        is_last = depth == 0
        found |= {name: is_last and bool(parents[name]) for name in front}
        front = (
            []
            if is_last
            else list(dict.fromkeys(up for name in front for up in parents[name] if up not in found))
        )
    return found


def _uploads(random_: random.Random, names: list[str], number: int) -> list[Fact]:
    foreign = [f"{one:040x}" for one in random_.sample(range(1 << 40), 2)]
    said: list[Fact] = []
    answering: dict[tuple[str, str, str], int] = {}
    ids = random_.sample(range(1, 1_000), number)
    for upload in ids:
        commit = random_.choice(names[-12:] if random_.random() < 0.3 else names)
        place = (
            commit if random_.random() < 0.95 else random_.choice(foreign),
            random_.choices(ROOTS, (6, 1, 1))[0],
            random_.choices(INDEXERS, (6, 1, 1))[0],
        )
        former = answering.get(place)
        published = Published(upload, *place, () if former is None else (former,))
        said.append(published)
        answering[place] = upload
        if former is not None:
            said += [Gone(former, False), Gone(former, True)][: random_.randrange(3)]
        if random_.random() < 0.1:
            said.append(published)
        if random_.random() < 0.2:
            old = random_.choice(ids)
            said += [Gone(old, False), Gone(old, True)][: random_.randrange(1, 3)]
    return said
