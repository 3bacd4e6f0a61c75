"""Node ids as the reference makes them; cursors that cannot be torn or mixed up."""

import base64

import pytest

from api.commands.errors import InputRefused
from api.graphql.cursors import cursor, parse_cursor
from api.graphql.ids import (
    insight_id_of,
    insight_node_id,
    parse_node_id,
    repository_id_of,
    repository_node_id,
)


def test_ids_are_url_safe_base64_of_kind_and_json() -> None:
    assert base64.urlsafe_b64decode(insight_node_id(1768960502378518)) == b'insight_view:"1768960502378518"'
    assert base64.urlsafe_b64decode(repository_node_id(42)) == b"Repository:42"
    assert repository_node_id(1) == "UmVwb3NpdG9yeTox"


@pytest.mark.parametrize("number", [0, 1, (1 << 53) - 1])
def test_ids_read_back(number: int) -> None:
    assert insight_id_of(insight_node_id(number)) == number
    assert repository_id_of(repository_node_id(number)) == number


@pytest.mark.parametrize(
    "text", ["", "x", "Zm9v", base64.urlsafe_b64encode(b"Repository:{}").decode(), "\u00e9"]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(InputRefused):
        parse_node_id(text)


def test_an_id_of_another_kind_is_refused() -> None:
    with pytest.raises(InputRefused):
        insight_id_of(repository_node_id(1))
    with pytest.raises(InputRefused):
        repository_id_of(insight_node_id(1))


def test_cursors_read_back_and_refuse_another_list_or_a_torn_text() -> None:
    text = cursor("repositories", "git.example.com/é", 7)
    assert parse_cursor("repositories", text) == ["git.example.com/é", 7]
    with pytest.raises(InputRefused):
        parse_cursor("insightViews", text)
    for torn in (text[:-4], "AAAA" + text[4:], "!", ""):
        with pytest.raises(InputRefused):
            parse_cursor("repositories", torn)
