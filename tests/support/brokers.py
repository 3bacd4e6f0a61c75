"""A Kafka broker of a test's own, beside the stack's: with listeners behind proxies, or that ask for TLS and a password."""

import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from infra.embedded import kafka
from infra.embedded.home import open_home
from infra.embedded.jars import ensure_jars
from infra.embedded.java import find_java
from infra.embedded.ports import LOOPBACK, choose_port
from infra.embedded.supervisor import Supervisor

_HEAP_MB: Final = 256
_ANSWER_S: Final = 2.0
_FORMAT_S: Final = 120

Properties = Callable[[int, int], Mapping[str, str]]
"""The broker's settings from its port and its controller's."""


@contextmanager
def broker(
    home: Path,
    properties: Properties,
    *,
    options: Mapping[str, str] | None = None,
    format_with: Sequence[str] = (),
) -> Iterator[int]:
    """A broker that answers; its port.

    Args:
        home: an empty folder of its own.
        options: by which a client of confluent-kafka logs in, to see that it answers.
        format_with: more arguments of Kafka's storage tool, as ``--add-scram=...``.
    """
    place = open_home(home)
    java, jars = find_java(), ensure_jars(lambda line: None)
    port, controller_port = choose_port(place, "kafka"), choose_port(place, "kafka controller")
    place.kafka.mkdir(mode=0o700, exist_ok=True)
    (place.kafka / "tmp").mkdir(exist_ok=True)
    text = kafka.properties_text(dict(properties(port, controller_port)))
    (place.kafka / "server.properties").write_text(text, encoding="ascii")
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
    arguments = ("format", f"--cluster-id={cluster}", "--config=server.properties", *format_with)
    subprocess.run(
        kafka.java_command(
            java, jars.paths, heap_mb=128, main_class="kafka.tools.StorageTool", arguments=arguments
        ),
        cwd=place.kafka,
        check=True,
        capture_output=True,
        timeout=_FORMAT_S,
    )
    child = kafka.kafka_child(place.kafka, java, jars.paths, port=port, heap_mb=_HEAP_MB)
    if options is not None:
        said = dict(options)
        child = replace(child, ready=lambda: _answers(port, said))
    with Supervisor([child], logs=place.logs, run=place.run):
        yield port


def _answers(port: int, options: Mapping[str, str]) -> bool:
    client = AdminClient({"bootstrap.servers": f"{LOOPBACK}:{port}", "log_level": 0, **options})
    try:
        return bool(client.list_topics(timeout=_ANSWER_S).brokers)
    except KafkaException:
        return False


def with_proxied_listener(listener_port: int, proxy_port: int) -> Properties:
    """A second listener, which tells its clients to come by the proxy."""

    def properties(port: int, controller_port: int) -> Mapping[str, str]:
        usual = kafka.server_properties(port=port, controller_port=controller_port)
        return {
            **usual,
            "listeners": f"{usual['listeners']},PROXIED://{LOOPBACK}:{listener_port}",
            "advertised.listeners": f"{usual['advertised.listeners']},PROXIED://{LOOPBACK}:{proxy_port}",
            "listener.security.protocol.map": f"{usual['listener.security.protocol.map']},PROXIED:PLAINTEXT",
        }

    return properties
