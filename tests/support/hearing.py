"""The checker of what monitors tell: what was owed, what a receiver heard, and what the tables say of it. It names every difference."""

import itertools
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from infra.kafka.admin import KafkaAdmin
from infra.postgres.connect import connect
from infra.postgres.role import Role
from infra.settings import Settings
from infra.topics import HANDS_APP, HEADS_APP
from schemas.topics import Topic
from tests.support.receiver import Receiver, Told
from tests.support.watching import KEY, Pair, Scene

AT_ONCE: Final = 8
"""What one sender has on the way at most: so much can be repeated when it dies."""
_SHOWN: Final = 3
_READ: Final = {
    HEADS_APP: (Topic.REPOSITORIES, Topic.MONITORS, Topic.TRIGGERS),
    HANDS_APP: (Topic.REPOSITORIES, Topic.WORK_INTERACTIVE),
}


class Kill(NamedTuple):
    """A sender was alive at the one moment, and dead at the other."""

    alive_s: float
    dead_s: float


class Recorded(NamedTuple):
    """What the history says of one run with results: its commits, and what was sent for it."""

    commits: list[str]
    delivery_id: str | None
    is_delivered: bool


def heard(scene: Scene, receiver: Receiver) -> dict[Pair, set[str]]:
    """Delivery ids by what they told of."""
    words = {watch.word for watch in scene.watches}
    found: dict[Pair, set[str]] = defaultdict(set)
    for told in list(receiver.told):
        word = told.path.split("/")[1]
        if word in words:
            for result in told.json()["results"]:
                found[word, result["commit"]].add(told.delivery_id)
    return found


def repeats(receiver: Receiver) -> list[tuple[Told, Told]]:
    """What was told under an id that had been told before, with what was told before."""
    by_id: dict[str, list[Told]] = defaultdict(list)
    for told in sorted(receiver.told, key=lambda one: one.at_s):
        by_id[told.delivery_id].append(told)
    return [pair for ones in by_id.values() for pair in itertools.pairwise(ones)]


def problems(scene: Scene, receiver: Receiver, settings: Settings, kills: Sequence[Kill] = ()) -> list[str]:
    """Everything that is wrong, in words; empty when nothing is. ``kills`` are those of senders."""
    owed, found = scene.owed(), heard(scene, receiver)
    again = repeats(receiver)
    unexplained = [
        (first.path, first.delivery_id)
        for first, second in again
        if not any(first.at_s <= one.dead_s and one.alive_s <= second.at_s for one in kills)
    ]
    return [
        *_named("not told", owed - found.keys()),
        *_named("told, and not owed", found.keys() - owed),
        *_named("told under several ids", {pair for pair, ids in found.items() if len(ids) > 1}),
        *_named("repeated though nobody died in between", unexplained),
        *_named(
            "another text under the same id",
            [first.path for first, second in again if first.body != second.body],
        ),
        *([f"{len(again)} repeats of {len(kills)} kills"] if len(again) > AT_ONCE * len(kills) else []),
        *_history(scene, settings, owed, found),
    ]


def verify_signatures(receiver: Receiver) -> None:
    """Raises WebhookVerificationError for what was not signed with our key."""
    for told in receiver.told:
        told.verified(KEY)


def recorded(settings: Settings) -> tuple[dict[int, list[Recorded]], int]:
    """Runs with results by monitor, and how many runs have no outcome yet."""
    with connect(settings, Role.PROJECTOR) as connection:
        (schema,) = connection.execute(
            "select schema_name from runtime.generations where projection = 'monitors'"
        ).fetchone() or ("",)
        rows: list[tuple[Any, ...]] = connection.execute(
            f"""
            select j.monitor, j.evaluated_at is null, j.result_count, j.search_results, a.delivery_id, a.state
            from "{schema}".cm_trigger_jobs j
            left join "{schema}".cm_action_jobs a on (a.monitor, a.trigger_event) = (j.monitor, j.id)
            """.encode()
        ).fetchall()
    found: dict[int, list[Recorded]] = defaultdict(list)
    for monitor, _, count, results, delivery, state in rows:
        if count:
            commits = [one["commit"] for one in json.loads(bytes(results))]
            found[monitor].append(Recorded(commits, delivery, state == "completed"))
    return found, sum(bool(is_open) for _, is_open, *_ in rows)


def fires(settings: Settings) -> int:
    """Runs that found something."""
    return sum(len(ones) for ones in recorded(settings)[0].values())


def are_at_rest(admin: KafkaAdmin) -> bool:
    """Whether the agents have read all there is. What they say on the way is read by them too."""
    offsets = {app: admin.group_offsets(app) for app in _READ}
    ends = admin.all_watermarks({topic for topics in _READ.values() for topic in topics})
    return all(
        offsets[app].get(place, 0) >= marks.end
        for app, topics in _READ.items()
        for place, marks in ends.items()
        if place[0] in topics
    )


def _history(scene: Scene, settings: Settings, owed: set[Pair], found: Mapping[Pair, set[str]]) -> list[str]:
    runs, without_outcome = recorded(settings)
    by_pair: dict[Pair, list[Recorded]] = defaultdict(list)
    for watch in scene.watches:
        for run in runs.get(watch.id, ()):
            for commit in run.commits:
                by_pair[watch.word, commit].append(run)
    return [
        *([f"{without_outcome} runs have no outcome"] if without_outcome else []),
        *_named("not in the history", owed - by_pair.keys()),
        *_named("in the history, and not owed", by_pair.keys() - owed),
        *_named(
            "in the history otherwise than as it was told",
            {
                pair
                for pair, ones in by_pair.items()
                if {one.delivery_id for one in ones} != found.get(pair, set())
                or not all(one.is_delivered for one in ones)
            },
        ),
    ]


def _named(what: str, found: Any) -> list[str]:
    return [f"{len(found)} {what}, such as {sorted(found)[:_SHOWN]}"] if found else []
