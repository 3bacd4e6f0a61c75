"""The demo's receiver of webhooks: real requests, taken when they are signed with its key, refused otherwise."""

import json
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from api.demo.receiver import receiving
from streams.monitors.delivery.signing import new_key, signed_headers

BODY = json.dumps({"results": [{"commit": "a" * 40}, {"commit": "b" * 40}]}).encode()


def test_what_is_signed_with_its_key_is_taken() -> None:
    key, began_s = new_key(), time.monotonic()
    with receiving() as receiver:
        receiver.key = key
        headers = signed_headers(key, "d1", datetime.now(UTC), BODY)
        assert httpx.post(receiver.url, content=BODY, headers=headers, trust_env=False).status_code == 204
        (heard,) = receiver.heard
    assert (heard.delivery_id, heard.commits) == ("d1", ["a" * 40, "b" * 40])
    assert began_s < heard.at_s < time.monotonic()
    assert receiver.refused == []


def test_everything_else_is_refused() -> None:
    key, now = new_key(), datetime.now(UTC)
    with receiving() as receiver, httpx.Client(trust_env=False) as sender:
        good = signed_headers(key, "d1", now, BODY)
        assert sender.post(receiver.url, content=BODY, headers=good).status_code == 401, "no key is known yet"
        receiver.key = key
        for headers, body in (
            (signed_headers(new_key(), "d2", now, BODY), BODY),
            (good, BODY + b" "),
            ({**good, "webhook-id": "d3"}, BODY),
            (signed_headers(key, "d4", now - timedelta(hours=1), BODY), BODY),
            ({}, BODY),
        ):
            assert sender.post(receiver.url, content=body, headers=headers).status_code == 401
        assert sender.post(f"{receiver.url}/other", content=BODY, headers=good).status_code == 401
        assert receiver.heard == []
        assert len(receiver.refused) == 5


def test_nobody_listens_afterwards() -> None:
    with receiving() as receiver:
        pass
    with pytest.raises(httpx.ConnectError):
        httpx.post(receiver.url, content=BODY, trust_env=False)
