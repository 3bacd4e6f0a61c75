"""One Apache Kafka node, broker and controller in one (KRaft), durable, on loopback only."""

import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path

from infra.embedded.children import ChildSpec
from infra.embedded.class_cache import java_options
from infra.embedded.errors import child_failed, naming_disk_full
from infra.embedded.java import Java
from infra.embedded.ports import LOOPBACK, is_listening

YEARS_IN_MINUTES = 10 * 366 * 24 * 60
MAX_MESSAGE_BYTES = 1_048_576
"""1 MiB; what we send stays below 900,000 bytes (DESIGN section 4)."""

_METADATA_TIMEOUT_S = 0.8
_FORMAT_TIMEOUT_S = 120


def server_properties(*, port: int, controller_port: int) -> dict[str, str]:
    """The broker's settings. Paths are relative to its working folder, so that no character of the home needs escaping."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
        "listeners": f"BROKER://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"BROKER://{LOOPBACK}:{port}",
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "BROKER",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": "data",
        # Topics are declared by infra.topics, never by a typo.
        "auto.create.topics.enable": "false",
        "num.partitions": "1",
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "4",
        # The log is the truth: what a topic does not limit itself is kept for ever.
        "log.retention.ms": "-1",
        "log.retention.bytes": "-1",
        "log.message.timestamp.type": "LogAppendTime",
        "offsets.retention.minutes": str(YEARS_IN_MINUTES),
        "message.max.bytes": str(MAX_MESSAGE_BYTES),
        # Groups: no waiting for members that will not come, sessions of 6 s, and the range assignor in both protocols.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "2000",
        "group.consumer.assignors": "range,uniform",
        "group.consumer.min.session.timeout.ms": "2000",
        "group.consumer.session.timeout.ms": "6000",
        "group.consumer.min.heartbeat.interval.ms": "500",
        "group.consumer.heartbeat.interval.ms": "2000",
        # One node on a small machine.
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
        "num.recovery.threads.per.data.dir": "2",
        "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
        # An idle controller writes an empty record this often, by default twice a second: four tenths of what an idle broker costs.
        "metadata.max.idle.interval.ms": "10000",
        # Alone in its cluster: a broker that was killed is taken back after these seconds instead of nine.
        "broker.heartbeat.interval.ms": "500",
        "broker.session.timeout.ms": "3000",
    }


def properties_text(properties: dict[str, str]) -> str:
    """A Java properties file. No value of ours holds a character that would need escaping."""
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def java_command(
    java: Java,
    jars: Sequence[Path],
    *,
    heap_mb: int,
    main_class: str,
    arguments: Sequence[str],
    options: Sequence[str] = (),
) -> tuple[str, ...]:
    """The command line of one of Kafka's programs, for the working folder ``home/kafka``; ``options`` are further ones of Java."""
    return (
        str(java.path),
        f"-Xmx{heap_mb}m",
        "-Xms64m",
        "-XX:+UseSerialGC",  # two cores, a small heap: a parallel collector costs memory and start-up time
        # Half the processor time to start, and less to serve: measured 0.4 s instead of 0.7 s for 200,000 messages.
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        "-Djava.awt.headless=true",
        "-Djava.net.preferIPv4Stack=true",
        "-Djava.io.tmpdir=tmp",
        "-Dkafka.logs.dir=.",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
        *options,
        "-cp",
        ":".join(str(jar) for jar in jars),
        main_class,
        *arguments,
    )


def prepare(folder: Path, java: Java, jars: Sequence[Path], properties: dict[str, str]) -> None:
    """Write the settings and, the first time, format the data folder.

    Raises:
        ChildFailed: Kafka's own tool refused.
        DiskFull: no room.
    """
    with naming_disk_full(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        scratch = scratch_folder(folder)
        scratch.mkdir(exist_ok=True)
        for leftover in scratch.iterdir():  # native libraries unpacked by a broker that was killed
            leftover.unlink()
        (folder / "server.properties").write_text(properties_text(properties), encoding="ascii")
    if is_formatted(folder):
        return
    cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
    command = java_command(
        java,
        jars,
        heap_mb=128,
        main_class="kafka.tools.StorageTool",
        arguments=(
            "format",
            "--ignore-formatted",
            f"--cluster-id={cluster_id}",
            "--config=server.properties",
        ),
    )
    result = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_FORMAT_TIMEOUT_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if result.returncode != 0:
        last = " | ".join((result.stderr + result.stdout).strip().splitlines()[-3:])
        raise child_failed(
            f"Kafka's data folder could not be formatted (code {result.returncode}): {last}",
            said=result.stderr + result.stdout,
            folder=folder,
            remedy=f"check that {folder} is writable; if an earlier start was cut short, remove {folder / 'data'}",
        )


def scratch_folder(folder: Path) -> Path:
    """Where Java puts what lives as long as the broker."""
    return folder / "tmp"


def is_formatted(folder: Path) -> bool:
    """Whether Kafka's data folder has been made."""
    return (folder / "data" / "meta.properties").exists()


def is_ready(bootstrap: str, port: int) -> bool:
    """Whether the broker answers a metadata request with itself in it: an open port alone is not enough while it recovers."""
    if not is_listening(port):
        return False
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "socket.timeout.ms": 1000})
    try:
        metadata = admin.list_topics(timeout=_METADATA_TIMEOUT_S)
    except KafkaException:
        return False
    return bool(metadata.brokers)


def kafka_child(folder: Path, java: Java, jars: Sequence[Path], *, port: int, heap_mb: int) -> ChildSpec:
    """The broker as a supervised child. After an unclean stop it may need several seconds to recover its logs."""
    bootstrap = f"{LOOPBACK}:{port}"
    return ChildSpec(
        name="kafka",
        command=java_command(
            java,
            jars,
            heap_mb=heap_mb,
            main_class="kafka.Kafka",
            arguments=("server.properties",),
            options=java_options(java, jars, scratch_folder(folder)),
        ),
        cwd=folder,
        ready=lambda: is_ready(bootstrap, port),
        ready_timeout_s=120.0,
        stop_timeout_s=30.0,
        restart=True,
    )
