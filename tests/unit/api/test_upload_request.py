"""The upload protocol: what each request asks for, and the status and words of what is wrong with it."""

from collections.abc import Mapping

import pytest

from api.http.upload_request import Done, NewUpload, PartOf, UploadRefused, root_of, upload_request
from schemas.uploads.events import UploadFormat

SCIP, LSIF = "/.api/scip/upload", "/.api/lsif/upload"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
WHOLE = {"repository": "github.com/org/repo", "commit": COMMIT, "indexerName": "scip-go"}


def asked(given: Mapping[str, str], path: str = SCIP, headers: Mapping[str, str] | None = None) -> object:
    return upload_request(path, given, headers or {"content-type": "application/x-protobuf+scip"})


def test_what_a_command_line_client_sends() -> None:
    given = {**WHOLE, "root": "web", "indexerVersion": "1.2", "associatedIndexId": "7"}
    assert asked(
        given, headers={"x-uncompressed-size": "123", "content-type": "application/x-protobuf+scip"}
    ) == (
        NewUpload(
            repository="github.com/org/repo",
            commit=COMMIT,
            root="web/",
            indexer="scip-go",
            indexer_version="1.2",
            format="scip",
            parts=None,
        )
    )
    announced = asked({**WHOLE, "multiPart": "true", "numParts": "3"})
    assert isinstance(announced, NewUpload)
    assert announced.parts == 3
    assert asked({"uploadId": "12", "index": "0"}) == PartOf(upload_id=12, index=0)
    assert asked({"uploadId": "12", "done": "true"}) == Done(upload_id=12)


@pytest.mark.parametrize(
    ("path", "content_type", "kind"),
    [
        (SCIP, "application/x-protobuf+scip", "scip"),
        (LSIF, "application/x-protobuf+scip", "scip"),
        (SCIP, "application/x-ndjson+lsif", "lsif"),
        (LSIF, "", "lsif"),
        (LSIF, "application/octet-stream", "lsif"),
        (SCIP, "", "scip"),
    ],
)
def test_the_content_type_says_the_format(path: str, content_type: str, kind: UploadFormat) -> None:
    found = asked(WHOLE, path, {"content-type": content_type})
    assert isinstance(found, NewUpload)
    assert found.format is kind


@pytest.mark.parametrize(
    ("given", "status", "words"),
    [
        ({}, 400, "repository, commit, indexerName"),
        ({**WHOLE, "commit": "HEAD"}, 400, "full commit id"),
        ({**WHOLE, "commit": "z" * 40}, 400, "full commit id"),
        ({**WHOLE, "multiPart": "true"}, 400, "numParts"),
        ({**WHOLE, "multiPart": "true", "numParts": "0"}, 400, "numParts"),
        ({**WHOLE, "multiPart": "true", "numParts": "-1"}, 400, "numParts"),
        ({**WHOLE, "root": "../x"}, 400, "root"),
        ({**WHOLE, "indexerName": "x" * 201}, 400, "indexerName"),
        ({"uploadId": "x", "index": "0"}, 404, "no upload x"),
        ({"uploadId": str(2**53), "index": "0"}, 404, "no upload"),
        ({"uploadId": "1"}, 400, "index"),
        ({"uploadId": "1", "index": "-1"}, 400, "index"),
    ],
)
def test_what_is_wrong_is_said_with_its_status(given: dict[str, str], status: int, words: str) -> None:
    with pytest.raises(UploadRefused, match=words) as caught:
        asked(given)
    assert caught.value.status == status


def test_a_size_that_is_no_number() -> None:
    with pytest.raises(UploadRefused) as caught:
        asked(WHOLE, headers={"x-uncompressed-size": "big"})
    assert caught.value.status == 422
    assert asked(WHOLE, headers={"x-uncompressed-size": ""}), "a size that is not said is none, not zero"


@pytest.mark.parametrize(
    ("given", "root"),
    [("", ""), ("/", ""), (".", ""), ("web", "web/"), ("/web//src/", "web/src/"), ("./a/./b", "a/b/")],
)
def test_roots(given: str, root: str) -> None:
    assert root_of(given) == root
