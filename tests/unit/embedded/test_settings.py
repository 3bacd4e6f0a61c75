"""What the servers are told: loopback only, durable, and what the topics and groups of the design need."""

from pathlib import Path

from infra.embedded import postgres
from infra.embedded.java import Java
from infra.embedded.kafka import java_command, kafka_child, properties_text, server_properties


def test_every_listener_of_kafka_is_on_loopback() -> None:
    properties = server_properties(port=25_000, controller_port=25_001)
    for name in ("listeners", "advertised.listeners"):
        for listener in properties[name].split(","):
            assert listener.split("://")[1].rsplit(":", 1)[0] == "127.0.0.1"
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:25001"


def test_kafka_keeps_what_the_design_says() -> None:
    properties = server_properties(port=1, controller_port=2)
    assert properties["auto.create.topics.enable"] == "false"
    assert properties["log.retention.ms"] == properties["log.retention.bytes"] == "-1"
    assert int(properties["offsets.retention.minutes"]) > 5 * 365 * 24 * 60
    assert int(properties["message.max.bytes"]) == 1024 * 1024
    assert int(properties["group.min.session.timeout.ms"]) <= 6_000
    assert properties["group.initial.rebalance.delay.ms"] == "0"
    assert "range" in properties["group.consumer.assignors"].split(",")
    replicated = {
        name: value for name, value in properties.items() if name.endswith(("replication.factor", "min.isr"))
    }
    assert len(replicated) >= 6
    assert set(replicated.values()) == {"1"}


def test_no_path_stands_in_the_properties() -> None:
    """So that a home with spaces, commas, backslashes or letters beyond Latin-1 works."""
    assert "/" not in properties_text(server_properties(port=1, controller_port=2)).replace("://", "")


def test_kafkas_memory_is_bounded() -> None:
    java = Java(Path("/usr/bin/java"), (17, 0, 15))
    command = java_command(
        java, [Path("/c/a.jar"), Path("/c/b.jar")], heap_mb=384, main_class="kafka.Kafka", arguments=("x",)
    )
    assert command[0] == "/usr/bin/java"
    assert "-Xmx384m" in command
    assert command[-4:] == ("-cp", "/c/a.jar:/c/b.jar", "kafka.Kafka", "x")
    assert kafka_child(Path("/h"), java, [], port=1, heap_mb=100).restart


def test_postgres_is_durable_local_and_asks_for_a_password() -> None:
    assert postgres.SETTINGS["listen_addresses"] == "127.0.0.1"
    assert postgres.SETTINGS["unix_socket_directories"] == ""
    assert postgres.SETTINGS["fsync"] == postgres.SETTINGS["synchronous_commit"] == "on"
    assert postgres.SETTINGS["password_encryption"] == "scram-sha-256"


def test_the_url_survives_every_password() -> None:
    assert (
        postgres.admin_url(5, "a/b@c:d")
        == "postgresql://millstream_admin:a%2Fb%40c%3Ad@127.0.0.1:5/millstream"
    )
