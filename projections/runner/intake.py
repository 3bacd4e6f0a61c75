"""The reading half of a runner: its own thread, which consumes, decodes and folds while Postgres writes.

It owns the consumer. Batches leave through a queue that holds one: while one is written and one waits, the next
is being gathered, so a batch is as large as what arrived meanwhile.
"""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from infra.kafka.admin import KafkaAdmin
from infra.kafka.checksum import record_crc32
from infra.kafka.consumer import LogReader
from infra.kafka.errors import KafkaError
from infra.settings import Settings
from projections.generations import Generation
from projections.projection import Decoding, Gatherer, Projection
from projections.runner import checkpoint, dropped, faults, identity, orders, quarantine
from projections.runner.again import read_again
from projections.runner.batch import Batch, Blocked, Collector
from projections.runner.bound import Bound, Gate
from projections.runner.checkpoint import Checkpoint, Connection, Partition, State
from projections.runner.decoders import DECODERS
from projections.runner.flood import DEFAULT_POLICY, Breaker, FloodPolicy
from projections.runner.guard_rows import GuardRows
from projections.runner.guards import Guards
from projections.runner.held import Held
from projections.runner.horizon import horizon_of
from projections.runner.orders_log import drops_on_log
from schemas.envelope import Record
from schemas.legality import RULES
from schemas.topics import Topic

MAX_BATCH_BYTES: Final = 16 * 1024 * 1024
"""Keys, values and headers in one batch: a few thousand large events would not fit into memory."""
PACE_S: Final = 0.05
"""Between two batches of a trickle: a transaction for each event costs the projector and Postgres more than one for a few together
(``bench/README.md``, fanout), and whoever waits is told of a move every 100 ms at most. The first event after a pause does not wait for
it, nor does a batch that is full."""
_AT_ONCE: Final = 256
"""Records of one poll: so few that they, and the events in them, stay in the processor's cache until they are folded."""
_FIRST: Final = 64
"""Of the first poll of a batch, of whose records' sizes nothing is known."""
_IDLE_POLL_S: Final = 0.2
_BUSY_POLL_S: Final = 0.005
"""While the writer has a batch waiting: how soon it is noticed that it took it."""
_GATE_POLL_S: Final = 0.01
"""Of a replay: how soon it notices that its end was moved."""
_DRAIN_TIMEOUT_S: Final = 5.0
_LAST_RECORDS_TIMEOUT_S: Final = 30.0
_log = structlog.get_logger()


class Intake:
    """Everything between the log and the writer, for one membership of the group.

    ``connect`` opens a connection on the generation's schema, for claims. ``start`` begins the thread; what
    ends it early is raised by ``take``. ``until`` (a replay): read exactly these partitions up to these offsets, which
    may be moved on meanwhile, as a member of no group.
    """

    def __init__(
        self,
        settings: Settings,
        projection: Projection,
        generation: Generation,
        instance_id: str,
        connect: Callable[[], Connection],
        linger_s: float,
        until: Bound | None = None,
        policy: FloodPolicy = DEFAULT_POLICY,
    ) -> None:
        self._settings = settings
        self._projection = projection
        self._generation = generation
        self._gate = None if until is None else Gate(until)
        self._instance_id = instance_id
        self._connect = connect
        self._linger_s = linger_s
        self._pace_s = PACE_S if until is None else 0.0
        self._handed_over_s = float("-inf")
        self._max_records = settings.projector_batch_events
        self._guard_rows = GuardRows(connect)
        self._collector = Collector(
            projection.prepare,
            lambda moves: read_again(settings, moves),
            self._guards(),
            decode=DECODERS[projection.decoding],
            horizon=horizon_of(projection),
        )
        self._queue: queue.Queue[Batch] = queue.Queue(maxsize=1)
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._commits: dict[Partition, int] = {}
        self._commit_lock = threading.Lock()
        self._unwritten = 0
        self._all_written = threading.Condition()
        self._epochs: dict[Partition, int] = {}
        self._policy = policy
        self._held = Held()
        self._orders_end = 0
        self._gatherer: Gatherer | None = None
        self._thread = threading.Thread(target=self._run, name=f"intake-{projection.name}", daemon=True)

    def start(self) -> None:
        """Join the group."""
        self._thread.start()

    def take(self, timeout_s: float) -> Batch | None:
        """The next batch, or None. Raises what ended the thread."""
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            if self._failure is not None:
                raise self._failure from None
            return None

    def written(self, batch: Batch) -> None:
        """The batch is committed: its offsets may be told to Kafka."""
        with self._commit_lock:
            for move in batch.moves:
                self._commits[move.topic, move.partition] = move.next_offset
        with self._all_written:
            self._unwritten = max(0, self._unwritten - 1)
            self._all_written.notify_all()

    def close(self) -> None:
        """Leave the group; batches that were not taken are forgotten."""
        self._stop.set()
        with suppress(queue.Empty):
            self._queue.get_nowait()
        self._thread.join()

    @property
    def held(self) -> Held:
        """What is in quarantine of them. Ask for the epochs first: then it is not older than these."""
        return self._held

    @property
    def orders_end(self) -> int:
        """Where operators' orders ended on the log at the last assignment."""
        return self._orders_end

    @property
    def epochs(self) -> dict[Partition, int]:
        """The partitions that this worker has, with the epochs it took."""
        return dict(self._epochs)

    def _guards(self) -> Guards | None:
        one = self._projection
        if one.decoding is not Decoding.WHOLE or RULES.keys().isdisjoint(one.topics):
            return None
        return Guards(self._guard_rows, one.owns)

    def _run(self) -> None:
        try:
            with LogReader(self._settings, client_id=f"millstream-{self._projection.name}") as reader:
                self._begin(reader)
                while not self._stop.is_set():
                    self._gather(reader)
                    self._commit(reader)
                self._commit(reader, wait=True)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that runs the projection
            self._failure = error
        finally:
            self._guard_rows.close()

    def _begin(self, reader: LogReader) -> None:
        if self._gate is not None:
            reader.assign(self._assigned(self._gate.partitions))
            return
        reader.subscribe(
            [topic.value for topic in self._projection.topics],
            self._generation.group,
            instance_id=self._instance_id,
            on_assigned=self._assigned,
            on_revoked=self._revoked,
        )

    def _poll(self, reader: LogReader, room: int, timeout_s: float) -> list[Record]:
        """What came; of a replay no record behind its end."""
        gate = self._gate
        if gate is None:
            return reader.poll(room, timeout_s)
        if released := gate.released(room):
            return released
        if drained := gate.resume():
            reader.resume(drained)
        found = gate.passed(reader.poll(room, min(timeout_s, _GATE_POLL_S)))
        if full := gate.pause():
            reader.pause(full)
        return found

    def _gather(self, reader: LogReader) -> None:
        """One batch, unless nothing comes: what came within the linger, and while the writer has enough to do."""
        deadline_s: float | None = None
        while not self._stop.is_set():
            room = self._room()
            now_s = time.monotonic()
            full = (
                self._collector.records >= self._max_records or self._collector.size_bytes >= MAX_BATCH_BYTES
            )
            if deadline_s is not None and (full or (now_s >= deadline_s and not self._queue.full())):
                break
            timeout_s = _IDLE_POLL_S if deadline_s is None else max(deadline_s - now_s, _BUSY_POLL_S)
            for blocked in self._collector.add(self._poll(reader, room, timeout_s)):
                self._block(reader, blocked)
            if not self._collector.records:
                return
            if deadline_s is None:
                deadline_s = max(time.monotonic() + self._linger_s, self._handed_over_s + self._pace_s)
        if self._collector.records:
            self._hand_over(reader)

    def _room(self) -> int:
        """Records for the next poll: few, and of large ones so few that the batch does not pass its bytes by much."""
        gathered = self._collector.records
        most = min(_AT_ONCE, self._max_records - gathered)
        if not gathered:
            return min(most, _FIRST)
        mean_bytes = max(1, self._collector.size_bytes // gathered)
        return min(most, max(1, (MAX_BATCH_BYTES - self._collector.size_bytes) // mean_bytes))

    def _hand_over(self, reader: LogReader) -> None:
        batch = self._collector.take()
        self._handed_over_s = time.monotonic()
        with self._all_written:
            self._unwritten += 1
        while not self._stop.is_set():
            try:
                self._queue.put(batch, timeout=_IDLE_POLL_S)
                return
            except queue.Full:
                self._commit(reader)

    def _commit(self, reader: LogReader, *, wait: bool = False) -> None:
        with self._commit_lock:
            commits, self._commits = self._commits, {}
        held = {partition: offset for partition, offset in commits.items() if partition in self._epochs}
        if held:
            try:
                reader.commit(held, wait=wait)
            except KafkaError as error:
                _log.info("advisory_commit_failed", projection=self._projection.name, error=str(error))

    def _block(self, reader: LogReader, blocked: Blocked) -> None:
        """An unknown version: this partition waits for a newer build, the others go on."""
        reader.pause([blocked.partition])
        _log.error(
            "needs_upgrade",
            projection=self._projection.name,
            reason=blocked.reason,
            remedy="Upgrade the projector: this build cannot read that version, and skipping it would lose it.",
        )
        with self._connect() as connection:
            checkpoint.mark(
                connection,
                blocked.partition,
                self._epochs[blocked.partition],
                State.NEEDS_UPGRADE,
                blocked.reason,
            )

    def _revoked(self, partitions: list[Partition]) -> None:
        """Let what is in hand be written, so that the successor need not do it again; it is fenced anyway."""
        with self._all_written:
            self._all_written.wait_for(
                lambda: self._unwritten == 0 or self._stop.is_set(), timeout=_DRAIN_TIMEOUT_S
            )
        self._epochs = {}
        self._collector.assign({})
        _log.info("partitions_revoked", projection=self._projection.name, partitions=_shown(partitions))

    def _assigned(self, partitions: list[Partition]) -> dict[Partition, int]:
        """Take the partitions over: ensure their rows, fence whoever had them, compare the log."""
        self._held = Held()
        self._gatherer = None
        claimed = self._claim(partitions) if partitions else {}
        self._epochs = {partition: found.epoch for partition, found in claimed.items()}
        self._collector.assign(
            {partition: (found.epoch, found.next_offset) for partition, found in claimed.items()},
            {partition: found.last_append_time for partition, found in claimed.items()},
            self._held,
            self._gatherer,
        )
        with self._all_written:
            self._unwritten = 0
        _log.info("partitions_assigned", projection=self._projection.name, partitions=_shown(partitions))
        return {partition: found.next_offset for partition, found in claimed.items()}

    def _claim(self, partitions: list[Partition]) -> dict[Partition, Checkpoint]:
        topics = [topic.value for topic in self._projection.topics]
        with KafkaAdmin(self._settings) as admin:
            cluster_id = admin.cluster_id()
            topic_ids = {topic: admin.topic_id(topic) for topic in topics}
            marks = {topic: admin.watermarks(topic) for topic in topics}
            self._orders_end = admin.watermarks(Topic.OPERATIONS.value)[0].end
        with self._connect() as connection:
            checkpoint.ensure(connection, cluster_id, topic_ids, marks)
            claimed = checkpoint.claim(connection, partitions)
            if any(at.next_offset > marks[at.topic][at.partition].end for at in claimed.values()):
                # Whoever had them wrote on between both looks: since the claim nobody does.
                with KafkaAdmin(self._settings) as admin:
                    marks = {topic: admin.watermarks(topic) for topic in topics}
            one = self._projection.name
            orders.begin(
                connection,
                one,
                self._generation.schema_name,
                partitions,
                self._orders_end,
                lambda: drops_on_log(self._settings, one),
            )
            self._held = quarantine.load(
                connection, partitions, Breaker(self._policy), dropped.ahead(connection, claimed)
            )
            fresh = all(found.last_offset is None for found in claimed.values())
            self._gatherer = self._begin_gathering(connection, fresh)
            checksums = self._last_checksums(
                {
                    partition: found.last_offset
                    for partition, found in claimed.items()
                    if found.last_offset is not None
                    and identity.last_record_needed(found, marks[found.topic][found.partition])
                }
            )
            for partition, found in claimed.items():
                at = marks[found.topic][found.partition]
                if found.topic in self._projection.transient and at.start > found.next_offset:
                    found = claimed[partition] = checkpoint.rebase(connection, found, at.start)
                if not faults.has(faults.Bug.NO_LOG_CHECK):
                    identity.check(found, cluster_id, topic_ids[found.topic], at, checksums.get(partition))
        return claimed

    def _begin_gathering(self, connection: Connection, fresh: bool) -> Gatherer | None:
        """None while anything is in quarantine: operators may have it written beside the batches."""
        begin = self._projection.gatherer
        return None if begin is None or self._held.aggregates else begin(connection, fresh)

    def _last_checksums(self, offsets: dict[Partition, int]) -> dict[Partition, int | None]:
        """CRC-32 of the record at each offset; None where the log goes on without one.

        Raises KafkaError when the broker did not say in time: that is an outage, not another log.
        """
        found: dict[Partition, int | None] = {}
        if not offsets:
            return found
        deadline_s = time.monotonic() + _LAST_RECORDS_TIMEOUT_S
        with LogReader(
            self._settings, options={"fetch.message.max.bytes": 65_536, "queued.min.messages": 1}
        ) as reader:
            reader.assign(offsets)
            while len(found) < len(offsets) and time.monotonic() < deadline_s:
                for record in reader.poll(len(offsets), 0.5):
                    partition = (record.topic, record.partition)
                    if partition not in found:
                        met = record.offset == offsets[partition]
                        found[partition] = record_crc32(record) if met else None
                        reader.pause([partition])
        if missing := sorted(offsets.keys() - found.keys()):
            raise KafkaError(
                f"the last records applied of {', '.join(_shown(missing))} were not read within {_LAST_RECORDS_TIMEOUT_S:g} s",
                remedy="Nothing to do while the broker is slow: the projector tries again.",
            )
        return found


def _shown(partitions: list[Partition]) -> list[str]:
    return [f"{topic}/{number}" for topic, number in sorted(partitions)]
