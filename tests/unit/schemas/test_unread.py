"""An envelope is read whatever the payload is, and as the whole decoder reads it."""

import msgspec
import pytest

from schemas.codec import Undecodable, UnknownType, UnknownVersion, decode
from schemas.envelope import Event, Record
from schemas.events import InsightDeleted, RepositoryRegistered
from schemas.unread import Unread, decode_envelope
from tests.support.projecting import event, record

SAID = record(event(RepositoryRegistered(repository_id=1, name="a/b", path="/p"), at=5, event_id="e-1"), 7)
STRUCTURED = (("content-type", b"application/cloudevents+json; charset=utf-8"),)


def _with(found: Record, **headers: bytes | None) -> Record:
    changed = dict(found.headers) | {name.replace("ce", "ce_", 1): data for name, data in headers.items()}
    kept = tuple((name, data) for name, data in changed.items() if data is not None)
    return msgspec.structs.replace(found, headers=kept)


def _whole(found: Record) -> Event:
    decoded = decode(found)
    assert isinstance(decoded, Event)
    return decoded


@pytest.mark.parametrize(
    "said",
    [SAID, record(event(InsightDeleted(insight_id=9), event_id="e-2"), 0), _with(SAID, cesubject=None)],
)
def test_it_is_the_envelope_that_the_whole_decoder_gives(said: Record) -> None:
    whole, read = _whole(said), decode_envelope(said)
    assert read is not None
    assert isinstance(read.data, Unread)
    assert (read.id, read.source, read.type, read.key, read.subject) == (
        whole.id,
        whole.source,
        whole.type,
        whole.key,
        whole.subject,
    )
    assert read.time == whole.time, "in these tests the append time is when it was said"


def test_what_is_no_event_has_an_envelope_all_the_same() -> None:
    bad = msgspec.structs.replace(SAID, value=b"{")
    other_key = msgspec.structs.replace(SAID, key=b"77")
    new_version = _with(SAID, cedataschema=b"millstream://schemas/millstream.repository.registered/v99")
    unknown = _with(SAID, cetype=b"org.example.thing", cedataschema=None)
    assert isinstance(decode(bad), Undecodable)
    assert isinstance(decode(other_key), Undecodable)
    assert isinstance(decode(new_version), UnknownVersion)
    assert isinstance(decode(unknown), UnknownType)
    for found in (bad, other_key, new_version, unknown):
        read = decode_envelope(found)
        assert read is not None
        assert (read.id, read.source) == ("e-1", "//test")
    read = decode_envelope(unknown)
    assert read is not None
    assert read.type.name == "org.example.thing"


def test_structured_events_are_read_too() -> None:
    value = b'{"id": "e-9", "source": "//s", "type": "t", "subject": "x", "data": {"a": [1]}}'
    read = decode_envelope(msgspec.structs.replace(SAID, headers=STRUCTURED, value=value))
    assert read is not None
    assert (read.id, read.source, read.type.name, read.subject) == ("e-9", "//s", "t", "x")


@pytest.mark.parametrize(
    "bad",
    [
        _with(SAID, ceid=None),
        _with(SAID, ceid=b""),
        _with(SAID, cesource=None),
        _with(SAID, cetype=None),
        _with(SAID, ceid=b"\xff"),
        _with(SAID, ceid=b"a\0b"),
        _with(SAID, cesubject=b"x" * 1_025),
        _with(SAID, cesource="ü".encode() * 600),
        msgspec.structs.replace(SAID, headers=()),
        msgspec.structs.replace(SAID, headers=STRUCTURED, value=b"{"),
        msgspec.structs.replace(SAID, headers=STRUCTURED, value=b"[]"),
        msgspec.structs.replace(SAID, headers=STRUCTURED, value=None),
    ],
)
def test_what_cannot_be_found_again_is_passed_over(bad: Record) -> None:
    assert decode_envelope(bad) is None


def test_what_is_nested_too_deep_to_be_written_again_names_no_event() -> None:
    deep = b'{"specversion":"1.0","id":"a","source":"b","type":"x","ext":%b,"data":{}}' % (
        b"[" * 300 + b"]" * 300
    )
    headers = (("content-type", b"application/cloudevents+json"),)
    assert decode_envelope(Record("millstream.results", 0, 0, 0, b"1", deep, headers)) is None
