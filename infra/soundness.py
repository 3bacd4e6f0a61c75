"""What on a cluster could lose events or their order, in words and with the remedy. Pure: descriptions come in.

A topic of truth (kept for ever, DESIGN section 4) that could expire, be compacted, be reordered or lose what was acknowledged
is refused: no process runs on it. Everything else is a warning, or a note.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from infra.kafka.admin import TopicDescription, Watermarks
from infra.topics import FOR_EVER_MS, TopicSpec, TopicUnsound

APPLY: Final = "millstream topics apply"
DAY_MINUTES: Final = 24 * 60
_MOST_COPIES: Final = 3
_ENOUGH_FOR_OFFSETS_DAYS: Final = 30

Starts = Mapping[str, Mapping[int, Watermarks]]
"""Topic -> partition -> start and end."""


class Gravity(StrEnum):
    """What a finding means for who wants to run."""

    REFUSED = "refused"
    WARNING = "warning"
    NOTE = "note"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it has to be. ``topic`` is empty where it is about the brokers."""

    topic: str
    gravity: Gravity
    name: str
    value: str
    wanted: str
    words: str
    remedy: str = APPLY


def findings(
    specs: Sequence[TopicSpec],
    there: Mapping[str, TopicDescription],
    brokers: Mapping[int, Mapping[str, str]],
    starts: Starts,
) -> list[Finding]:
    """The gravest first, then by topic in the order of ``specs``.

    ``brokers`` is empty where this user may not ask for their settings; ``starts`` where nobody looked.
    """
    found: list[Finding] = []
    for spec in specs:
        topic = there.get(spec.name)
        if topic is None:
            found.append(_missing(spec))
            continue
        found += _of_topic(spec, topic, len(brokers))
        if spec.is_truth:
            found += _trimmed(spec, starts.get(spec.name, {}))
    found += _of_brokers(brokers)
    order = list(Gravity)
    return sorted(found, key=lambda one: order.index(one.gravity))


def require(found: Sequence[Finding]) -> None:
    """Raises TopicUnsound for the first finding that is refused; it says how many there are."""
    refused = [one for one in found if one.gravity is Gravity.REFUSED]
    if not refused:
        return
    first, others = refused[0], len(refused) - 1
    more = f" ({others} more: millstream topics check)" if others else ""
    raise TopicUnsound(first.words + more, remedy=first.remedy)


def _missing(spec: TopicSpec) -> Finding:
    return Finding(
        topic=spec.name,
        gravity=Gravity.REFUSED,
        name="topic",
        value="missing",
        wanted=f"{spec.partitions} partitions",
        words=f"the topic {spec.name} does not exist",
    )


def _of_topic(spec: TopicSpec, there: TopicDescription, brokers: int) -> Iterator[Finding]:
    if there.partitions != spec.partitions:
        yield Finding(
            topic=spec.name,
            gravity=Gravity.REFUSED,
            name="partitions",
            value=str(there.partitions),
            wanted=str(spec.partitions),
            words=f"{spec.name} has {there.partitions} partitions, this installation was made with {spec.partitions}: keys have moved, and their order is lost",
            remedy="point MILLSTREAM_KAFKA_BOOTSTRAP at the cluster of this installation, or begin a new one with empty topics",
        )
    rules = _TRUTH if spec.is_truth else _FINITE
    wanted = spec.settings(there.replication_factor)
    for name, (gravity, why) in rules.items():
        value = there.settings.get(name, "")
        if _is_worse(name, value, wanted[name], there.replication_factor):
            yield Finding(
                topic=spec.name,
                gravity=gravity,
                name=name,
                value=value,
                wanted=wanted[name],
                words=f"{spec.name} has {name}={value}, it has to be {wanted[name]}: {why}",
            )
        elif spec.is_truth and name in _EXPIRY and name not in there.own:
            yield Finding(
                topic=spec.name,
                gravity=Gravity.WARNING,
                name=name,
                value=f"{value} (the broker's)",
                wanted=wanted[name],
                words=f"{spec.name} has {name}={value} from the broker's defaults alone: whoever changes these lets its events expire",
            )
    if there.replication_factor < min(_MOST_COPIES, brokers):
        yield Finding(
            topic=spec.name,
            gravity=Gravity.WARNING,
            name="replication",
            value=str(there.replication_factor),
            wanted=str(min(_MOST_COPIES, brokers)),
            words=f"{spec.name} has {there.replication_factor} {'copy' if there.replication_factor == 1 else 'copies'} on {brokers} brokers: one disk that dies can take events with it",
            remedy="kafka-reassign-partitions.sh with more replicas (copies are not added by a setting)",
        )


def _is_worse(name: str, value: str, wanted: str, copies: int) -> bool:
    """Whether the value could lose something that the wanted one would not."""
    if name == "min.insync.replicas":
        return _number(value, 1) < _number(wanted, 1)
    if name == "unclean.leader.election.enable":
        return value == "true" and copies > 1
    if name in _EXPIRY_NUMBERS:
        return _number(value, FOR_EVER_MS) != FOR_EVER_MS and (
            _number(wanted, FOR_EVER_MS) == FOR_EVER_MS
            or _number(value, FOR_EVER_MS) < _number(wanted, FOR_EVER_MS)
        )
    return value != wanted


_EXPIRY_NUMBERS: Final = frozenset(("retention.ms", "retention.bytes"))
_EXPIRY: Final = frozenset((*_EXPIRY_NUMBERS, "cleanup.policy"))
_COMPACTION: Final = "events could be lost: compaction keeps only the newest record of each key"
_TRUTH: Final[Mapping[str, tuple[Gravity, str]]] = {
    "cleanup.policy": (Gravity.REFUSED, _COMPACTION),
    "retention.ms": (
        Gravity.REFUSED,
        "events could be lost: what is older expires, and no rebuild brings it back",
    ),
    "retention.bytes": (
        Gravity.REFUSED,
        "events could be lost: what is beyond expires, and no rebuild brings it back",
    ),
    "message.timestamp.type": (
        Gravity.REFUSED,
        "events could be lost or reordered: lag, time travel and retention go by the broker's clock",
    ),
    "min.insync.replicas": (
        Gravity.REFUSED,
        "events could be lost: what one broker alone has acknowledged is gone with its disk",
    ),
    "unclean.leader.election.enable": (
        Gravity.REFUSED,
        "events could be lost: a broker that lags may become leader, and what it lacks is cut off",
    ),
}
_FINITE: Final[Mapping[str, tuple[Gravity, str]]] = {
    "cleanup.policy": (Gravity.WARNING, f"{_COMPACTION}, so work may be given out twice"),
    "retention.ms": (Gravity.WARNING, "work that waits longer than that is given out twice"),
    "retention.bytes": (Gravity.WARNING, "under load what waits may expire, and is given out twice"),
    "message.timestamp.type": (
        Gravity.WARNING,
        "lag and expiry go by the publisher's clock",
    ),
}


def _trimmed(spec: TopicSpec, partitions: Mapping[int, Watermarks]) -> Iterator[Finding]:
    cut = {number: at.start for number, at in sorted(partitions.items()) if at.start > 0}
    if cut:
        number, start = next(iter(cut.items()))
        more = f", and {len(cut) - 1} more partitions" if len(cut) > 1 else ""
        yield Finding(
            topic=spec.name,
            gravity=Gravity.WARNING,
            name="log start",
            value=str(start),
            wanted="0",
            words=f"{spec.name}/{number} begins at {start}{more}: events of this topic of truth are gone, and a rebuild would lack them",
            remedy="keep the projections that have applied them (no rebuild), or restore the topic from a copy",
        )


def _of_brokers(brokers: Mapping[int, Mapping[str, str]]) -> Iterator[Finding]:
    for number, settings in sorted(brokers.items()):
        minutes = _number(settings.get("offsets.retention.minutes", ""), 0)
        if 0 < minutes < _ENOUGH_FOR_OFFSETS_DAYS * DAY_MINUTES:
            yield Finding(
                topic="",
                gravity=Gravity.WARNING,
                name="offsets.retention.minutes",
                value=str(minutes),
                wanted=str(_ENOUGH_FOR_OFFSETS_DAYS * DAY_MINUTES),
                words=f"broker {number} forgets the offsets of a group {minutes / DAY_MINUTES:g} days after its last member has gone: agents that were off for longer begin with what is owed, not where they were (projections do not mind: their checkpoints are in the database)",
                remedy=f"offsets.retention.minutes={_ENOUGH_FOR_OFFSETS_DAYS * DAY_MINUTES} or more in the brokers' configuration",
            )
        expiring = [
            f"{name}={settings[name]}"
            for name in (
                "log.retention.ms",
                "log.retention.minutes",
                "log.retention.hours",
                "log.retention.bytes",
            )
            if _number(settings.get(name, ""), FOR_EVER_MS) != FOR_EVER_MS
        ]
        if expiring and _number(settings.get("log.retention.ms", ""), 0) != FOR_EVER_MS:
            yield Finding(
                topic="",
                gravity=Gravity.NOTE,
                name="log.retention",
                value=", ".join(expiring),
                wanted="any",
                words=f"broker {number} lets topics expire that say nothing themselves ({', '.join(expiring)}); ours say it",
                remedy="",
            )
        if settings.get("auto.create.topics.enable") == "true":
            yield Finding(
                topic="",
                gravity=Gravity.NOTE,
                name="auto.create.topics.enable",
                value="true",
                wanted="false",
                words=f"broker {number} makes a topic for whoever misspells one; ours are made by 'topics apply' alone",
                remedy="auto.create.topics.enable=false in the brokers' configuration",
            )


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.lstrip("-").isdigit() else otherwise
