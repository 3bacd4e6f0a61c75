"""What commands read and print, without a server."""

import socket
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
import orjson
import pytest
from click.testing import CliRunner

from api.cli.client import ApiNotRunning, connect
from api.cli.insight_command import CountingFailed, raise_what_failed, read_interval
from api.cli.insight_questions import CellsSoFar, Insight
from api.cli.insight_shown import as_json, chart_lines, failure, why_incomplete
from api.cli.main import cli
from api.cli.publish_command import read_events
from api.process import BindRefused, PortTaken, check_bind, forget_address, is_loopback, listen, write_address
from infra.settings import Settings

GOOD = {
    "specversion": "1.0",
    "id": "1",
    "source": "//git.example.com/hooks",
    "type": "millstream.repository.removed",
    "time": "2026-11-22T12:00:00Z",
    "data": {"repository_id": 7},
}


def all_commands() -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    context = click.Context(cli)
    for listed in cli.list_commands(context):
        command = cli.get_command(context, listed)
        assert command is not None, listed
        found.append((listed, command))
        if isinstance(command, click.Group):
            found += [(f"{command.name} {name}", one) for name, one in command.commands.items()]
    return found


@pytest.mark.parametrize(("name", "command"), all_commands())
def test_every_command_has_a_sentence_and_an_example(name: str, command: click.Command) -> None:
    done = CliRunner().invoke(command, ["--help"])
    assert done.exit_code == 0
    assert "Example" in " ".join(done.output.split())
    assert command.help


@pytest.mark.parametrize(
    ("text", "interval"),
    [("MONTH", ("MONTH", 1)), ("week", ("WEEK", 1)), ("2 weeks", ("WEEK", 2)), ("12 HOUR", ("HOUR", 12))],
)
def test_intervals(text: str, interval: tuple[str, int]) -> None:
    assert read_interval(text) == interval


@pytest.mark.parametrize("text", ["", "fortnight", "0 DAY", "1001 DAY", "-1 DAY", "2 2 DAY", "DAY 2"])
def test_what_is_no_interval(text: str) -> None:
    with pytest.raises(click.BadParameter):
        read_interval(text)


def insight() -> Insight:
    months = ["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"]
    line = {
        "query": "q",
        "times": months,
        "values": [0.0, 3.0, None],
        "complete": [True, False, False],
        "status": {"plannedCells": 6, "doneCells": 4},
        "perRepository": [
            {
                "repository": {"name": "git.example.com/a"},
                "points": [
                    {"dateTime": months[0], "value": 0.0, "complete": True},
                    {"dateTime": months[1], "value": 3.0, "complete": False},
                    {"dateTime": months[2], "value": None, "complete": False},
                ],
            }
        ],
    }
    second, first = "s:" + "B" * 64, "s:" + "A" * 64
    return msgspec.convert(
        {
            "id": "ID",
            "databaseID": "7",
            "title": "T",
            "isLoadingData": True,
            "dataSeriesDefinitions": [{"seriesId": first}, {"seriesId": second}],
            "dataSeries": [
                {"seriesId": f"{second}-2.0", "label": "2.0", **line},
                {"seriesId": first, "label": "first", **line},
                {"seriesId": f"{second}-1.0", "label": "1.0", **line},
            ],
        },
        Insight,
    )


def test_json_has_exactly_the_published_form() -> None:
    shown = orjson.loads(orjson.dumps(as_json(insight()), option=orjson.OPT_UTC_Z))
    assert list(shown) == ["id", "title", "isLoadingData", "series"]
    assert [one["label"] for one in shown["series"]] == ["first", "1.0", "2.0"]
    one = shown["series"][0]
    assert list(one) == ["id", "label", "query", "points", "perRepository"]
    # A zero is a point, an incomplete one says so, a missing one is none.
    points = [
        {"dateTime": "2026-01-01T00:00:00Z", "value": 0, "complete": True},
        {"dateTime": "2026-02-01T00:00:00Z", "value": 3, "complete": False},
    ]
    assert one["points"] == points
    assert one["perRepository"] == {"git.example.com/a": points}


def test_the_terminal_gets_all_frames_missing_ones_as_none() -> None:
    line = chart_lines(insight())[0]
    assert line.label == "first"
    assert list(line.times) == [datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3)]
    assert list(line.values) == [0.0, 3.0, None]
    assert list(line.per_repository["git.example.com/a"]) == [0.0, 3.0, None]


def lines_of(*lines: object) -> bytes:
    return b"\n".join(line if isinstance(line, bytes) else orjson.dumps(line) for line in lines)


def test_events_are_read_line_by_line_and_every_fault_has_its_line_and_path() -> None:
    bad = {**GOOD, "data": {"repository_id": "seven"}}
    found = list(read_events(lines_of(GOOD, b"", b"{nope", bad, {**GOOD, "type": "millstream.nothing"})))
    assert [(one.line, one.state) for one in found] == [
        (1, "VALID"),
        (3, "REFUSED"),
        (4, "REFUSED"),
        (5, "REFUSED"),
    ]
    assert found[0].event is not None
    assert found[0].event.key == "7"
    assert [problem.path for problem in found[1].problems] == ["$"]
    assert [problem.path for problem in found[2].problems] == ["$.data.repository_id"]
    assert [problem.path for problem in found[3].problems] == ["$.type"]


def test_one_event_over_several_lines_and_arrays_are_read_too() -> None:
    (one,) = read_events(b"\n" + orjson.dumps(GOOD, option=orjson.OPT_INDENT_2))
    assert (one.state, one.line) == ("VALID", 2)
    found = list(read_events(orjson.dumps([GOOD, {}], option=orjson.OPT_INDENT_2)))
    assert [(one.item, one.state) for one in found] == [(0, "VALID"), (1, "REFUSED")]
    (broken,) = read_events(b"[{")
    assert broken.state == "REFUSED"
    assert list(read_events(b"  \n ")) == []


def test_internal_events_are_not_for_publishing() -> None:
    event = {
        **GOOD,
        "type": "millstream.repository.clone_failed",
        "data": {"repository_id": 7, "reason": "r", "message": "m"},
    }
    (one,) = read_events(orjson.dumps(event))
    assert [problem.path for problem in one.problems] == ["$.type"]


def test_a_dry_run_needs_no_server_and_says_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    file.write_bytes(lines_of(GOOD, {**GOOD, "data": {}}))
    publish = cli.get_command(click.Context(cli), "publish")
    assert publish is not None
    done = CliRunner().invoke(publish, [str(file), "--dry-run"])
    assert done.exit_code == 1
    assert "line 1: VALID millstream.repository.removed 1" in done.output
    assert "line 2: REFUSED $.data.repository_id is required" in done.output
    file.write_bytes(lines_of(GOOD))
    assert CliRunner().invoke(publish, [str(file), "--dry-run"]).exit_code == 0


def test_without_an_api_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(ApiNotRunning) as caught:
        connect(Settings(home=tmp_path), {})
    assert "millstream up" in caught.value.remedy


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)
    check_bind(Settings(bind_host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", ""])
def test_beyond_loopback_only_when_the_settings_say_so(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(BindRefused):
        check_bind(Settings(bind_host=host))
    with pytest.raises(BindRefused) as caught:
        check_bind(Settings(bind_host=host, bind_beyond_loopback=True))
    assert "MILLSTREAM_AUTH_PROVIDERS" in caught.value.remedy
    check_bind(Settings(bind_host=host, bind_beyond_loopback=True, auth_providers=["tokens"]))
    proxied = Settings(bind_host=host, bind_beyond_loopback=True, auth_providers=["proxy"])
    with pytest.raises(BindRefused):
        check_bind(proxied)
    named = {"auth_proxy_header": "X-Forwarded-User", "auth_proxy_addresses": ["10.0.0.2"]}
    check_bind(proxied.model_copy(update=named))


def test_the_address_file_is_removed_by_its_own_process_only(tmp_path: Path) -> None:
    file = tmp_path / "api.json"
    write_address(file, "http://127.0.0.1:1")
    forget_address(file, "http://127.0.0.1:2")
    assert file.exists()
    forget_address(file, "http://127.0.0.1:1")
    assert not file.exists()
    forget_address(file, "http://127.0.0.1:1")


def test_small_answers_are_sent_at_once(tmp_path: Path) -> None:
    """asyncio sets TCP_NODELAY only on sockets that name their protocol."""
    with listen(Settings(home=tmp_path, bind_port=0)) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_a_taken_port_is_said_to_be_taken(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(PortTaken) as caught:
            listen(Settings(home=tmp_path, bind_port=other.getsockname()[1]))
    assert "MILLSTREAM_BIND_PORT" in caught.value.remedy


def test_an_address_without_a_scheme_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(ApiNotRunning, match="MILLSTREAM_URL is 'foo', which is no address") as failed:
        connect(Settings(home=tmp_path), {"MILLSTREAM_URL": "foo"})
    assert "http://" in failed.value.remedy


def test_why_counts_are_missing_is_said_with_the_repository_and_the_whole_remedy() -> None:
    frames = [datetime(2026, month, 1, tzinfo=UTC) for month in (9, 10)]
    points = [{"dateTime": at, "value": None, "complete": False, "reason": "clone-error"} for at in frames]
    series = {
        "seriesId": "s", "label": "l", "query": "q", "times": [], "values": [], "complete": [],
        "status": {"plannedCells": 2, "doneCells": 2},
        "perRepository": [{"repository": {"name": "a.test/app"}, "points": points}],
    }  # fmt: skip
    found = msgspec.convert({"id": "i", "databaseID": "7", "dataSeries": [series]}, Insight)
    assert why_incomplete(found) == ["the repository (a.test/app) cannot be cloned: 2 points"]
    raise_what_failed(None, None)
    with pytest.raises(CountingFailed, match=r"2 of 2 cells could not be counted: .*a\.test/app") as failed:
        raise_what_failed(CellsSoFar(loading=False, planned=2, done=2, failed=2), found)
    assert "millstream insight retry 7" in failed.value.remedy
    assert failure("clone-error: 3 requests") == "the repository cannot be cloned (3 requests)"
