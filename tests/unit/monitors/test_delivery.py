"""Where a webhook may go, how it is signed, when it is tried again, and what a mail says. No network but loopback."""

import base64
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from schemas.events import EmailPriority
from streams.monitors.delivery import slack, webhook
from streams.monitors.delivery.address import AddressPolicy, UrlRefused, target_of
from streams.monitors.delivery.http import Answer
from streams.monitors.delivery.mail import mail_of
from streams.monitors.delivery.message import Message, excerpts, more
from streams.monitors.delivery.outcomes import (
    MAX_ATTEMPTS,
    WAITS_S,
    Delivered,
    Outcome,
    Refused,
    next_attempt,
    outcome_of,
)
from streams.monitors.delivery.signing import SigningKeyInvalid, new_key, signed_headers
from streams.monitors.results import Result

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)

_ADDRESSES = [
    ("93.184.216.34", True),
    ("8.8.8.8", True),
    ("2606:2800:220:1:248:1893:25c8:1946", True),
    ("127.0.0.1", False),
    ("127.8.9.10", False),
    ("0.0.0.0", False),
    ("10.1.2.3", False),
    ("172.16.0.1", False),
    ("172.31.255.255", False),
    ("172.32.0.1", True),
    ("192.168.1.1", False),
    ("100.64.0.1", False),
    ("169.254.169.254", False),
    ("192.0.0.192", False),
    ("198.18.0.1", False),
    ("224.0.0.1", False),
    ("255.255.255.255", False),
    ("::", False),
    ("::1", False),
    ("fe80::1", False),
    ("fe80::1%eth0", False),
    ("fd00:ec2::254", False),
    ("fc00::1", False),
    ("ff02::1", False),
    ("::ffff:127.0.0.1", False),
    ("::ffff:169.254.169.254", False),
    ("::ffff:8.8.8.8", True),
    ("64:ff9b::808:808", True),
    ("64:ff9b:1::808:808", False),
    ("::127.0.0.1", False),
    ("64:ff9b::7f00:1", False),
    ("64:ff9b::a9fe:a9fe", False),
    ("2002:7f00:1::", False),
    ("2002:a9fe:a9fe::1", False),
    ("2001:db8::1", False),
    ("nonsense", False),
]


@pytest.mark.parametrize(("address", "may_be_reached"), _ADDRESSES)
def test_which_addresses_may_be_reached(address: str, may_be_reached: bool) -> None:
    assert (AddressPolicy().problem("example.org", address) is None) is may_be_reached


def test_all_addresses_of_a_name_have_to_be_good() -> None:
    policy = AddressPolicy()
    assert policy.checked("example.org", ["8.8.8.8", "1.1.1.1"]) == "8.8.8.8"
    with pytest.raises(UrlRefused) as caught:
        policy.checked("example.org", ["8.8.8.8", "10.0.0.1"])
    told = str(caught.value)
    assert caught.value.detail == "example.org is 10.0.0.1, which is private"
    with pytest.raises(UrlRefused) as caught:
        policy.checked("example.org", [])
    assert str(caught.value) == told, "nobody learns which names this network knows"
    assert "10.0.0.1" not in told
    assert "example.org" not in told


def test_what_a_setting_allows() -> None:
    policy = AddressPolicy.of(["Receiver.Internal", "10.1.0.0/16", "127.0.0.1"])
    assert policy.problem("receiver.internal", "192.168.0.9") is None
    assert policy.problem("other.internal", "192.168.0.9") is not None
    assert policy.problem("x", "10.1.2.3") is None
    assert policy.problem("x", "10.2.2.3") is not None
    assert policy.problem("x", "127.0.0.1") is None
    assert policy.problem("x", "127.0.0.2") is not None
    assert policy.problem("x", "::ffff:10.1.2.3") is None


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_refused_whenever_its_plain_form_is(address: object) -> None:
    policy = AddressPolicy()
    if policy.problem("x", str(address)) is not None:
        assert policy.problem("x", f"::ffff:{address}") is not None


_URLS = [
    ("https://example.org/hook?a=1", "https", 443, "/hook?a=1", "example.org"),
    ("http://example.org:8080", "http", 8080, "/", "example.org:8080"),
    ("https://[2606:2800::1]/x", "https", 443, "/x", "[2606:2800::1]"),
    ("https://bücher.example/x", "https", 443, "/x", "xn--bcher-kva.example"),
]


@pytest.mark.parametrize(("url", "scheme", "port", "resource", "authority"), _URLS)
def test_urls(url: str, scheme: str, port: int, resource: str, authority: str) -> None:
    found = target_of(url)
    assert (found.scheme, found.port, found.resource, found.authority) == (scheme, port, resource, authority)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/",
        "file:///etc/passwd",
        "example.org/hook",
        "https://user:secret@example.org/",
        "https://example.org:99999/",
        "https://example.org/\r\nX: y",
        "https://[::1/",
        "https:///hook",
        "https://example.org/ä",
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(UrlRefused) as caught:
        target_of(url)
    assert "secret" not in str(caught.value)


@given(st.binary(min_size=24, max_size=64), st.text(max_size=200))
def test_signatures_are_what_the_library_accepts(key: bytes, text: str) -> None:
    secret, body = "whsec_" + base64.b64encode(key).decode(), orjson.dumps({"text": text})
    headers = signed_headers(secret, "delivery-1", datetime.now(UTC), body)
    assert Webhook(secret).verify(body, headers) == {"text": text}
    forged = {**headers, "webhook-id": "delivery-2"}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, forged)


def test_a_key_is_made_and_a_bad_one_refused() -> None:
    body = webhook.body_of(_message())
    Webhook(new_key()).sign("x", NOW, body.decode())
    for bad in ("whsec_", "whsec_AAAA", "not base64!", ""):
        with pytest.raises(SigningKeyInvalid):
            signed_headers(bad, "x", NOW, body)


_ANSWERS: list[tuple[int, dict[str, str], Outcome]] = [
    (200, {}, Delivered("HTTP 200")),
    (204, {}, Delivered("HTTP 204")),
    (301, {}, Refused("redirect", "HTTP 301: redirects are not followed", is_final=True)),
    (404, {}, Refused("refused", "HTTP 404", is_final=True)),
    (410, {}, Refused("gone", "HTTP 410", is_final=True, is_gone=True)),
    (429, {"retry-after": "120"}, Refused("refused", "HTTP 429", retry_after_s=120.0)),
    (
        503,
        {"retry-after": "Sun, 29 Nov 2026 12:10:00 GMT"},
        Refused("refused", "HTTP 503", retry_after_s=600.0),
    ),
    (500, {"retry-after": "soon"}, Refused("refused", "HTTP 500")),
]


@pytest.mark.parametrize(("status", "headers", "outcome"), _ANSWERS)
def test_what_an_answer_means(status: int, headers: dict[str, str], outcome: Outcome) -> None:
    assert outcome_of(Answer(status, headers), NOW) == outcome


def test_attempts_come_later_and_later_and_end() -> None:
    later = NOW + timedelta(days=9)
    waits = [next_attempt(number, Refused("x", "x"), NOW, later) for number in range(1, MAX_ATTEMPTS)]
    assert waits == [NOW + timedelta(seconds=wait_s) for wait_s in WAITS_S]
    assert next_attempt(MAX_ATTEMPTS, Refused("x", "x"), NOW, later) is None
    assert next_attempt(1, Refused("x", "x", is_final=True), NOW, later) is None
    assert next_attempt(1, Refused("x", "x"), NOW, NOW + timedelta(seconds=1)) is None
    slow = next_attempt(1, Refused("x", "x", retry_after_s=900.0), NOW, later)
    assert slow == NOW + timedelta(seconds=900)
    patient = next_attempt(1, Refused("x", "x", retry_after_s=1e9), NOW, later)
    assert patient is not None
    assert patient < NOW + timedelta(hours=6)


def _message(results: int | None = 7, text: str = "+TODO\n") -> Message:
    return Message(
        monitor_id=7,
        job_id=8,
        description="Keys <b>\nin code",
        owner="alice",
        query="type:diff TODO",
        count=7,
        results=None
        if results is None
        else [
            Result(repository="example.org/app", commit="ab" * 20, diff=text, matched_diff_ranges=[(1, 5)])
            for _ in range(results)
        ],
        external_url="https://millstream.example",
    )


def test_the_webhook_body_is_the_references() -> None:
    body = orjson.loads(webhook.body_of(_message(1)))
    assert set(body) == {"monitorDescription", "monitorURL", "query", "results"}
    assert body["monitorURL"].startswith("https://millstream.example/code-monitoring/")
    assert body["results"] == [
        {
            "repository": "example.org/app",
            "commit": "ab" * 20,
            "diff": "+TODO\n",
            "matchedDiffRanges": [[1, 5]],
        }
    ]
    assert "results" not in orjson.loads(webhook.body_of(_message(None)))


def test_mails_say_it_twice_and_no_line_becomes_a_header() -> None:
    mail = mail_of(
        _message(text="+a\n" * 40),
        delivery_id="d-1",
        sender="m@example.org",
        recipient="alice@example.org",
        at=NOW,
        priority=EmailPriority.CRITICAL,
        header="Look <at> once",
    )
    assert mail["Subject"] == "[Critical] Millstream code monitor Keys <b> in code detected 7 new results"
    assert mail["Message-ID"] == "<d-1@millstream.example>"
    text, html = (part.get_content() for part in mail.iter_parts())
    assert "example.org/app@ababababab" in text
    assert "(shortened)" in text
    assert "and 2 more results" in text
    assert "Look &lt;at&gt; once" in html
    assert "<b>" not in html
    with pytest.raises(ValueError, match="Header"):
        mail_of(
            _message(), delivery_id="d", sender="m@example.org", recipient="a@b\r\nBcc: c@d", at=NOW,
            priority=EmailPriority.NORMAL, header="",
        )  # fmt: skip


def test_slack_blocks_stay_small_and_escape() -> None:
    body = orjson.loads(slack.body_of(_message(text="+```<x>" + "y" * 5_000)))
    texts = [block["text"]["text"] for block in body["blocks"]]
    assert all(len(text) <= 3_000 for text in texts)
    assert "&lt;b&gt;" in texts[0]
    assert "...and <" in texts[-2]
    assert "<x>" not in texts[1]
    assert len(excerpts(_message())) == 5
    assert more(_message()) == 2
    assert any("View results" in block["text"]["text"] for block in orjson.loads(slack.body_of(_message(None)))["blocks"])  # fmt: skip
