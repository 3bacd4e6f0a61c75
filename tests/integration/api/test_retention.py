"""Cutting the head of a topic: refused for topics of truth, and while somebody has still to read it; over a real log."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from click.testing import CliRunner, Result

from api.cli.main import cli
from infra.installation import refuse_unsound
from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.settings import Settings
from infra.topics import TopicUnsound
from projections.reading import Reader
from schemas.envelope import Position
from schemas.topics import Topic
from tests.integration.api.conftest import Api
from tests.integration.api.test_event_trace import reader as reader

WORK = Topic.WORK_BACKGROUND.value


@pytest.fixture(autouse=True)
def home(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands reach this installation."""
    monkeypatch.setenv("MILLSTREAM_HOME", str(api.settings.home))
    monkeypatch.setenv("MILLSTREAM_KAFKA_BOOTSTRAP", api.settings.kafka_bootstrap)
    monkeypatch.setenv("MILLSTREAM_DATABASE_URL", api.settings.database_url.get_secret_value())


def run(*arguments: str, typed: str | None = None, expect: int = 0) -> Result:
    done = CliRunner().invoke(cli, ["topics", *arguments], input=typed)
    assert done.exit_code == expect, done.output
    return done


def work(publisher: Publisher, reader: Reader, count: int) -> list[Position]:
    """Records of one key, applied by the projections; nobody can read them, which is all the same here."""
    positions = [publisher.publish_raw(WORK, b"7", b"{}", ()) for _ in range(count)]
    for name in ("recordings", "event_index"):
        assert reader.wait_for(name, positions, 60.0)
    return positions


def test_the_head_is_cut_after_a_rehearsal_when_everybody_has_passed_it(
    settings: Settings, publisher: Publisher, reader: Reader
) -> None:
    positions = work(publisher, reader, 5)
    place, upto = positions[0].partition, positions[3].offset
    arguments = ("delete-records", WORK, "--before", str(upto), "--partition", str(place))
    rehearsed = msgspec.json.decode(run(*arguments, "--rehearse", "--json").stdout)
    assert (rehearsed["deleted"], rehearsed["records"]) == (False, 3)
    assert rehearsed["partitions"][0]["notPassedBy"] == []
    assert "nothing was deleted" in run(*arguments, typed="no\n", expect=1).stderr
    with KafkaAdmin(settings) as admin:
        assert admin.watermarks(WORK)[place].start == positions[0].offset, "nothing was done yet"
        assert "Records deleted: 3." in run(*arguments, typed=f"{WORK}\n").stdout
        assert admin.watermarks(WORK)[place].start == upto
    assert "nothing was deleted" in run(*arguments, "--confirm", WORK).stdout


def test_who_has_still_to_read_stops_it(settings: Settings, publisher: Publisher, reader: Reader) -> None:
    positions = work(publisher, reader, 4)
    place = positions[0].partition
    with KafkaAdmin(settings) as admin:
        admin.set_group_offsets("slow-reader", {(WORK, place): positions[1].offset})
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    arguments = ("delete-records", WORK, "--before", later)
    rehearsed = run(*arguments, "--rehearse", expect=1).stdout
    assert f"group slow-reader (at {positions[1].offset})" in rehearsed
    assert "It would be refused." in rehearsed
    refused = run(*arguments, "--confirm", WORK, expect=1).stderr
    assert "has not read up to there" in refused
    with KafkaAdmin(settings) as admin:
        assert admin.watermarks(WORK)[place].start <= positions[0].offset
    upto = run("delete-records", WORK, "--before", str(positions[1].offset), "--confirm", WORK)
    assert "Records deleted" in upto.stdout, "what it has read may go"


@pytest.mark.parametrize(
    ("topic", "words"),
    [(Topic.RESULTS.value, "a topic of truth"), ("other.topic", "has no topic other.topic")],
)
def test_truth_is_never_cut(topic: str, words: str) -> None:
    for more in (("--rehearse",), ("--confirm", topic)):
        assert words in run("delete-records", topic, "--before", "1", *more, expect=1).stderr


def test_a_time_that_is_none_is_bad_usage() -> None:
    assert "is no time" in run("delete-records", WORK, "--before", "yesterday", "--rehearse", expect=2).stderr


def test_truth_that_can_expire_stops_every_start_until_it_is_repaired(settings: Settings) -> None:
    assert "Nothing can be lost" in run("check").stdout
    refuse_unsound(settings)
    with KafkaAdmin(settings) as admin:
        admin.alter_settings(Topic.RESULTS, {"retention.ms": "604800000"})
    refused = run("check", expect=1).stdout
    assert "refused: millstream.results has retention.ms=604800000, it has to be -1" in refused
    assert "what to do: millstream topics apply" in refused
    with pytest.raises(TopicUnsound, match=r"retention\.ms=604800000"):
        refuse_unsound(settings)
    for command in (["api"], ["worker", "--app", "heads"], ["projector", "--only", "settings"]):
        stopped = CliRunner().invoke(cli, command)
        assert stopped.exit_code == 1, stopped.output
        assert "millstream.results has retention.ms=604800000" in stopped.stderr
    assert "604800000" in run("apply").stdout
    refuse_unsound(settings)
    assert "Nothing can be lost" in run("check").stdout
