"""Errors: every code is in the schema, what nobody expected says nothing of itself."""

import re
from pathlib import Path

from graphql import GraphQLEnumType, GraphQLError
from sqlalchemy.exc import OperationalError

from api.commands.errors import ApiError, Code, InputRefused
from api.graphql.errors import formatted
from api.graphql.schema import executable_schema
from infra.kafka.errors import PublishFailed
from projections.generations import NotProjected

API = Path(__file__).parents[3] / "api"
ENUM = executable_schema().type_map["ErrorCode"]


def classified(cause: Exception) -> dict[str, object]:
    (shown,) = formatted([GraphQLError(str(cause), original_error=cause, path=["a", 0])])
    extensions = shown["extensions"]
    assert isinstance(extensions, dict)
    assert shown["path"] == ["a", 0]
    return {"message": shown["message"], **extensions}


def test_every_code_is_in_the_schema() -> None:
    assert isinstance(ENUM, GraphQLEnumType)
    assert {code.value for code in Code} <= set(ENUM.values)
    used = set()
    for file in [*(API / "http").glob("*.py"), *(API / "auth").glob("*.py"), API / "app.py"]:
        used |= set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+|UNAUTHENTICATED|REFUSED|INTERNAL)"', file.read_text()))
    assert {"UNAUTHENTICATED", "BODY_TOO_LARGE", "FORGED_WRITE", "HOST_REFUSED", "LINK_USED"} <= used
    assert used <= set(ENUM.values)


def test_ours_keep_code_message_remedy_and_more() -> None:
    shown = classified(ApiError(Code.NOT_YET_APPLIED, "Not there.", remedy="Wait.", projection="insights"))
    assert shown == {
        "message": "Not there.",
        "code": "NOT_YET_APPLIED",
        "projection": "insights",
        "remedy": "Wait.",
    }
    assert classified(InputRefused("a[0].b", "no"))["field"] == "a[0].b"


def test_stores_that_do_not_answer_are_unavailable() -> None:
    for cause in (
        PublishFailed("no broker"),
        NotProjected("not yet"),
        OperationalError("select 1", {}, Exception("connection refused; password=hunter2")),
    ):
        shown = classified(cause)
        assert shown["code"] == "UNAVAILABLE"
        assert "hunter2" not in str(shown)


def test_a_statement_that_took_too_long_is_a_timeout() -> None:
    class Cancelled(Exception):
        sqlstate = "57014"

    assert classified(OperationalError("select 1", {}, Cancelled("canceled")))["code"] == "TIMEOUT"


def test_a_defect_gives_away_nothing_but_a_reference() -> None:
    shown = classified(ZeroDivisionError("secret detail"))
    assert shown["code"] == "INTERNAL"
    assert "secret" not in str(shown)
    assert re.fullmatch(r"[0-9a-f]{32}", str(shown["reference"]))


def test_errors_of_graphql_itself_are_validation_errors() -> None:
    (shown,) = formatted([GraphQLError("no such field")])
    assert shown == {"message": "no such field", "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}
