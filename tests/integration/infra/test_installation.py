"""Setting an installation up, keeping what it decided, and the commands that show it."""

from collections.abc import Iterator

import orjson
import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr
from sqlalchemy import delete, update

from api.cli.main import cli
from infra.installation import (
    CLUSTER_ID,
    NotInstalled,
    check_topics,
    decided_topics,
    partitions,
    set_up,
    set_up_database,
)
from infra.kafka.admin import KafkaAdmin, NewTopic
from infra.postgres.connect import engine
from infra.postgres.errors import WrongInstallation
from infra.postgres.role import Role
from infra.postgres.runtime import installation
from infra.settings import Settings
from infra.topics import TopicUnsound, all_topics
from schemas.topics import Topic
from tests.stack import StackUnderTest, fresh_database


@pytest.fixture(scope="module")
def settings(own_stack: StackUnderTest) -> Settings:
    """Of a stack whose topics this module has to itself."""
    return Settings(
        home=own_stack.home,
        kafka_bootstrap=own_stack.kafka_bootstrap,
        database_url=SecretStr(own_stack.database_url),
        partitions=4,
    )


@pytest.fixture(scope="module")
def installed(settings: Settings) -> Settings:
    with_nothing = engine(settings, Role.ADMIN)
    with pytest.raises(NotInstalled):
        partitions(with_nothing)
    with_nothing.dispose()
    lines: list[str] = []
    changes = set_up(settings, lines.append)
    assert {change.topic for change in changes} == {spec.name for spec in all_topics(4)}
    assert "millstream.results: topic absent -> 4 partitions, retention -1 ms" in lines
    return settings


@pytest.fixture
def admin(installed: Settings) -> Iterator[KafkaAdmin]:
    with KafkaAdmin(installed) as connected:
        yield connected


@pytest.fixture
def run(installed: Settings, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("MILLSTREAM_HOME", str(installed.home))
    return CliRunner()


def json_of(result: Result) -> object:
    assert result.exit_code == 0, result.output
    return orjson.loads(result.stdout)


def test_a_second_set_up_changes_nothing(installed: Settings) -> None:
    assert set_up(installed) == []


def test_the_partition_count_is_decided_once(installed: Settings) -> None:
    other = installed.model_copy(update={"partitions": 16})
    assert set_up(other) == []
    for role in (Role.APP, Role.WORKER, Role.PROJECTOR):
        connected = engine(other, role)
        assert partitions(connected) == 4
        connected.dispose()
    connected = engine(installed, Role.WORKER)
    assert check_topics(installed, connected) == all_topics(4)
    connected.dispose()


def test_topics_that_are_there_decide_for_an_empty_database(
    own_stack: StackUnderTest, installed: Settings, admin: KafkaAdmin
) -> None:
    with fresh_database(own_stack.database_url, "rebuilt") as url:
        rebuilt = installed.model_copy(update={"database_url": SecretStr(url), "partitions": 16})
        set_up_database(rebuilt)
        assert decided_topics(rebuilt, admin) == all_topics(4)


def test_a_database_of_another_cluster_is_refused(installed: Settings, admin: KafkaAdmin) -> None:
    connected = engine(installed, Role.PROJECTOR)
    try:
        with connected.begin() as connection:
            connection.execute(
                update(installation).where(installation.c.key == CLUSTER_ID).values(value="another")
            )
        with pytest.raises(WrongInstallation, match="another"):
            set_up(installed)
    finally:
        with connected.begin() as connection:
            connection.execute(delete(installation).where(installation.c.key == CLUSTER_ID))
        connected.dispose()
    assert set_up(installed) == []


def test_settings_are_repaired_with_before_and_after(
    installed: Settings, admin: KafkaAdmin, run: CliRunner
) -> None:
    admin.alter_settings(Topic.RESULTS, {"retention.ms": "3600000", "cleanup.policy": "compact"})
    connected = engine(installed, Role.WORKER)
    with pytest.raises(TopicUnsound, match=r"millstream\.results"):
        check_topics(installed, connected)
    connected.dispose()
    seen = run.invoke(cli, ["topics", "verify"])
    assert seen.exit_code == 1
    assert ["millstream.results", "retention.ms", "3600000", "-1"] in [
        line.split() for line in seen.stdout.splitlines()
    ]
    changed = json_of(run.invoke(cli, ["topics", "apply", "--json"]))
    assert isinstance(changed, list)
    assert {
        "topic": "millstream.results",
        "name": "retention.ms",
        "before": "3600000",
        "after": "-1",
    } in changed
    assert {
        "topic": "millstream.results",
        "name": "cleanup.policy",
        "before": "compact",
        "after": "delete",
    } in changed
    assert run.invoke(cli, ["topics", "apply"]).stdout == "Every topic is as it has to be.\n"
    assert run.invoke(cli, ["topics", "verify"]).exit_code == 0


def test_a_partition_count_is_never_changed(installed: Settings, admin: KafkaAdmin, run: CliRunner) -> None:
    admin.delete_topics([Topic.RECORDINGS])
    admin.create_topics([NewTopic(Topic.RECORDINGS, 5, 1, {})])
    try:
        refused = run.invoke(cli, ["topics", "apply"])
        assert refused.exit_code == 1
        assert "millstream.recordings has 5 partitions" in refused.stderr
        assert "what to do:" in refused.stderr
        assert admin.partitions(Topic.RECORDINGS) == 5
    finally:
        admin.delete_topics([Topic.RECORDINGS])
    assert [change.topic for change in set_up(installed)] == [Topic.RECORDINGS]


def test_topics_are_listed_with_what_is_on_them(run: CliRunner) -> None:
    listed = json_of(run.invoke(cli, ["topics", "list", "--json"]))
    assert isinstance(listed, list)
    by_name = {one["name"]: one for one in listed}
    assert by_name["millstream.results"]["partitions"] == 4
    assert by_name["millstream.results"]["retention_ms"] == -1
    assert by_name["millstream.insights"]["records"] == 0
    assert "millstream-hands-__assignor-__leader" in by_name


def test_the_configuration_is_shown_with_sources_and_without_secrets(
    installed: Settings, run: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLSTREAM_KAFKA_PASSWORD", "s3cret")
    shown = json_of(run.invoke(cli, ["config", "--json"]))
    assert isinstance(shown, dict)
    assert shown["kafka_bootstrap"]["value"] == installed.kafka_bootstrap
    assert [shown[name]["source"] for name in ("kafka_bootstrap", "home", "bind_port")] == [
        "stack",
        "env",
        "default",
    ]
    plain = run.invoke(cli, ["config", "--explain"])
    assert "kafka_bootstrap" in plain.stdout
    password = installed.database_url.get_secret_value().split(":")[2].split("@")[0]
    for output in (str(shown), plain.stdout):
        assert "s3cret" not in output
        assert password not in output
