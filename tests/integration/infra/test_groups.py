"""Setting a group's offsets on a real broker: refused while somebody reads in it, also when he comes between look and deed."""

from collections.abc import Iterator
from uuid import uuid4

import msgspec
import pytest
from click.testing import CliRunner, Result

from api.cli.main import cli
from api.groups.kinds import ResetRefused
from api.groups.resetting import carry_out, plan
from api.groups.targets import To, Wish
from infra.kafka.admin import KafkaAdmin, NewTopic
from infra.kafka.consumer import LogReader
from infra.kafka.errors import GroupBusy
from infra.kafka.producer import Publisher
from infra.settings import Settings
from tests.stack import StackUnderTest
from tests.support.projectors import eventually


@pytest.fixture(scope="module")
def settings(stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"), kafka_bootstrap=stack.kafka_bootstrap)


@pytest.fixture(scope="module")
def admin(settings: Settings) -> Iterator[KafkaAdmin]:
    with KafkaAdmin(settings) as made:
        yield made


@pytest.fixture(scope="module")
def topic(settings: Settings, admin: KafkaAdmin) -> Iterator[str]:
    """Two partitions, ten records each."""
    name = f"test.groups.{uuid4().hex}"
    admin.create_topics([NewTopic(name, 2, 1, {"message.timestamp.type": "LogAppendTime"})])
    with Publisher(settings) as publisher:
        for number in range(40):
            publisher.publish_raw(name, str(number).encode(), b"x", ())
    yield name
    admin.delete_topics([name])


@pytest.fixture
def group(admin: KafkaAdmin, topic: str) -> str:
    """A group that nobody is in any more."""
    name = f"test-group-{uuid4().hex}"
    admin.set_group_offsets(name, {(topic, 0): 5, (topic, 1): 2})
    return name


@pytest.fixture(autouse=True)
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLSTREAM_HOME", str(settings.home))
    monkeypatch.setenv("MILLSTREAM_KAFKA_BOOTSTRAP", settings.kafka_bootstrap)


def run(*arguments: str, typed: str | None = None, expect: int = 0) -> Result:
    done = CliRunner().invoke(cli, ["groups", *arguments], input=typed)
    assert done.exit_code == expect, done.output
    return done


def joined(settings: Settings, admin: KafkaAdmin, topic: str, group: str) -> LogReader:
    """A member that has its partitions."""
    reader = LogReader(settings, client_id="nightly-export")
    reader.subscribe([topic], group, on_assigned=lambda places: dict.fromkeys(places, 0))

    def has_them() -> bool:
        reader.poll(1, 0.1)
        return len(reader.assignment()) == 2

    assert eventually(has_them, 60.0)
    assert admin.describe_groups()[group].is_read
    return reader


def test_offsets_are_set_and_read_back(admin: KafkaAdmin, topic: str, group: str) -> None:
    ends = {number: at.end for number, at in admin.watermarks(topic).items()}
    planned = plan(admin, group, topic, [], Wish(to=To.LATEST))
    assert carry_out(admin, planned) == {(topic, number): end for number, end in ends.items()}
    assert carry_out(admin, plan(admin, group, topic, [1], Wish(to=To.EARLIEST))) == {
        (topic, 0): ends[0],
        (topic, 1): 0,
    }


def test_a_live_group_is_refused_and_its_members_are_named(
    settings: Settings, admin: KafkaAdmin, topic: str, group: str
) -> None:
    with joined(settings, admin, topic, group):
        with pytest.raises(ResetRefused, match=r"is live: nightly-export on 127\.0\.0\.1"):
            plan(admin, group, topic, [], Wish(to=To.EARLIEST))
        refused = run("reset", group, "--topic", topic, "--to-earliest", "--confirm", group, expect=1)
        assert "nightly-export" in refused.stderr
        assert "nightly-export" in run("describe", group).stdout
    assert admin.group_offsets(group) == {(topic, 0): 5, (topic, 1): 2}


def test_who_comes_between_the_look_and_the_deed_keeps_his_offsets(
    settings: Settings, admin: KafkaAdmin, topic: str, group: str
) -> None:
    planned = plan(admin, group, topic, [], Wish(to=To.EARLIEST))
    with joined(settings, admin, topic, group):
        with pytest.raises(GroupBusy, match="has become live") as caught:
            carry_out(admin, planned)
        assert "groups describe" in caught.value.remedy
    assert admin.group_offsets(group) == {(topic, 0): 5, (topic, 1): 2}, "nothing was changed"


def test_the_name_has_to_be_typed_and_before_and_after_are_shown(
    admin: KafkaAdmin, topic: str, group: str
) -> None:
    arguments = ("reset", group, "--topic", f"{topic}:0", "--shift", "-3")
    rehearsed = run(*arguments, "--dry-run")
    assert "Nothing was changed" in rehearsed.stdout
    for typed in ("", "yes\n", f"{group}x\n"):
        assert "nothing was changed" in run(*arguments, typed=typed, expect=1).stderr
    assert "nothing was changed" in run(*arguments, "--confirm", "another", expect=1).stderr
    assert admin.group_offsets(group)[topic, 0] == 5
    done = run(*arguments, typed=f"{group}\n")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(topic)]
    assert line.split() == [topic, "0", "5", "2"]
    assert admin.group_offsets(group) == {(topic, 0): 2, (topic, 1): 2}


def test_what_stands_there_already_asks_for_nothing(topic: str, group: str) -> None:
    done = run("reset", group, "--topic", f"{topic}:1", "--to-offset", "2", "--json")
    found = msgspec.json.decode(done.stdout)
    assert (found["changed"], found["partitions"][0]["after"]) == (False, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("millstream.projection.insights.g3", "--to-earliest"), "the group of a projection"),
        (("nobody.reads.here", "--to-earliest"), "there is no consumer group"),
    ],
)
def test_what_is_always_refused(
    admin: KafkaAdmin, topic: str, arguments: tuple[str, ...], words: str
) -> None:
    refused = run(
        "reset", arguments[0], "--topic", topic, *arguments[1:], "--confirm", arguments[0], expect=1
    )
    assert words in refused.stderr
    assert "what to do: " in refused.stderr
    assert arguments[0] not in admin.groups(), "no group was made by the way"


def test_where_to_is_said_once_and_partitions_exist(topic: str, group: str) -> None:
    assert "say where to, once" in run("reset", group, "--topic", topic, expect=2).stderr
    both = ("reset", group, "--topic", topic, "--to-earliest", "--to-latest")
    assert "say where to, once" in run(*both, expect=2).stderr
    missing = run("reset", group, "--topic", f"{topic}:7", "--to-latest", expect=1)
    assert "has no partition 7" in missing.stderr
    assert "does not exist" in run("reset", group, "--topic", "no.such.topic", "--to-latest", expect=1).stderr


def test_the_list_has_every_group_and_says_whose_it_is(topic: str, group: str, admin: KafkaAdmin) -> None:
    found = {one["group"]: one for one in msgspec.json.decode(run("list", "--json").stdout)}
    ends = sum(at.end for at in admin.watermarks(topic).values())
    assert (found[group]["kind"], found[group]["state"], found[group]["records"]) == (
        "other",
        "Empty",
        ends - 7,
    )
