"""Uploads end to end: over HTTP, on the log, led by the agent, read in a process of its own, shown in GraphQL and on pages."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.graphql.ids import node_id, upload_node_id
from api.http import uploads as http_uploads
from infra.blobs import BlobRef, BlobStore
from infra.kafka.producer import Publisher
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from projections.reading import Reader
from projections.uploads import queries
from projections.uploads.queries import Upload
from schemas.events import (
    RepositoryRegistered,
    UploadState,
    UploadStateChanged,
)
from schemas.ids import repository_id, upload_id
from streams.uploads.lifecycle import UploadPolicy
from streams.uploads.store import Manifest
from tests.integration.api.conftest import BASE, Api
from tests.integration.api.questions import say
from tests.integration.api.uploading import (
    DELETE,
    NAME,
    PATH,
    STATE,
    Service,
    answering,
    in_state,
    post,
    post_to,
    row,
    state,
    states,
    until,
    uploaded,
)
from tests.support.scip import document, message, metadata, occurrence, parsed, small_index, symbol
from tests.support.uploading import SHORT, uploads_led


@pytest.fixture(scope="module")
def service(publisher: Publisher, tmp_path_factory: pytest.TempPathFactory, api: Api) -> Service:
    folder = tmp_path_factory.mktemp("service")
    made = Service(folder, publisher)
    registered = RepositoryRegistered(repository_id=repository_id(NAME), name=NAME, path=str(folder))
    position = say(publisher, registered)
    made.push()
    names = "query N($name: String!, $min: [String!]) { repository(name: $name, minPosition: $min) { id } }"
    assert api.ask(names, {"name": NAME, "min": position})["repository"]
    return made


def test_an_index_in_one_piece_is_read_kept_and_answers(api: Api, service: Service, reader: Reader) -> None:
    commit = service.commit()
    with uploads_led(api.settings):
        number = uploaded(api, commit, small_index(5), root="web")
        found = answering(api, number)
    assert states(found) == ["queued", "processing", "completed"]
    assert found["statistics"] == {"documents": 5, "symbols": 6, "occurrences": 15, "packages": 2}
    assert (found["inputCommit"], found["inputRoot"], found["inputIndexer"]) == (commit, "web/", "scip-test")
    kept = row(reader, number)
    assert kept.manifest is not None
    manifest = Manifest(BlobStore(api.settings.effective_blob_url), kept.manifest)
    place = manifest.find("src/a3.py")
    assert place is not None
    assert parsed("Document", manifest.read(place)).symbols[0].symbol == symbol("F3")
    for kind, key in (("SCIPUpload", int(number)), ("LSIFUpload", int(number)), ("LSIFUpload", number)):
        identity = node_id(kind, key)
        node = api.ask(STATE, {"id": identity})["node"]
        assert node["__typename"] == ("PreciseIndex" if kind == "SCIPUpload" else "LSIFUpload")
        page = api.http.get(
            f"/{NAME}/-/code-intelligence/uploads/{identity}",
            headers={"authorization": f"token {api.token}", "accept": "text/html"},
        )
        assert page.status_code == 200
        assert "5 documents" in page.text
    lists = api.ask(
        'query L($name: String!) { repository(name: $name) { lsifUploads(query: "web/") { totalCount nodes { id } } } }',
        {"name": NAME},
    )
    assert lists["repository"]["lsifUploads"]["totalCount"] == 1


def test_parts_survive_the_process_that_took_them(api: Api, service: Service) -> None:
    content = small_index(300)
    third = len(content) // 3 + 1
    parts = [content[start : start + third] for start in range(0, len(content), third)]
    commit = service.commit()
    announced = post(
        api,
        repository=f"https://{NAME}.git",
        commit=commit,
        indexerName="scip-test",
        multiPart="true",
        numParts="3",
    )
    assert announced.status_code == 202
    number = announced.json()["id"]
    assert state(api, number)["state"] == "UPLOADING_INDEX"
    assert post(api, parts[2], uploadId=number, index="2").status_code == 204
    assert post(api, b"torn", uploadId=number, index="0").status_code == 204
    with TestClient(create_app(api.settings), base_url=BASE) as other:
        assert post_to(other, api, b"", {"uploadId": number, "index": "3"}).status_code == 400
        missing = post_to(other, api, b"", {"uploadId": number, "done": "true"})
        assert missing.status_code == 400
        assert "1 of 3 parts are missing: 1" in missing.json()["message"]
        assert post_to(other, api, parts[0], {"uploadId": number, "index": "0"}).status_code == 204
        assert post_to(other, api, parts[1], {"uploadId": number, "index": "1"}).status_code == 204
        assert post_to(other, api, b"", {"uploadId": number, "done": "true"}).status_code == 204
    assert post(api, b"", uploadId=number, done="true").status_code == 204, "saying it again changes nothing"
    assert post(api, b"late", uploadId=number, index="1").status_code == 409
    with uploads_led(api.settings):
        found = answering(api, number)
    assert states(found) == ["uploading", "queued", "processing", "completed"]
    assert found["statistics"]["documents"] == 300


def test_uploads_that_draw_one_id_are_several(
    api: Api, service: Service, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = upload_id(datetime.now(UTC), 0)
    drawn = iter([first, first, first + 1, first + 2, first + 2, first + 3, first + 2, first + 4])
    commit = service.commit()
    in_parts = {"commit": commit, "indexerName": "scip-test", "multiPart": "true", "numParts": "1"}
    with monkeypatch.context() as at_one_moment:
        at_one_moment.setattr(http_uploads, "upload_id", lambda at, chance: next(drawn))
        at_one_moment.setattr(queries, "by_id", lambda connection, number: None)
        numbers = [uploaded(api, commit, small_index(2), root=root) for root in ("r0", "r1")]
        for root in ("r2", "r3"):
            numbers.append(post(api, b"", repository=NAME, root=root, **in_parts).json()["id"])
        numbers.append(uploaded(api, commit, small_index(2), root="r4"))
    assert numbers == [str(first + place) for place in range(5)]
    assert [row(reader, number).root for number in numbers] == ["r0/", "r1/", "r2/", "r3/", "r4/"]
    for number in numbers[2:4]:
        assert post(api, small_index(2), uploadId=number, index="0").status_code == 204
        assert post(api, b"", uploadId=number, done="true").status_code == 204


def test_what_is_wrong_with_a_request_is_said_in_words(api: Api, service: Service) -> None:
    commit = service.commit()
    good = {"repository": NAME, "commit": commit, "indexerName": "scip-test"}
    for parameters, status, words in (
        ({**good, "repository": "git.example.com/no/such"}, 404, "followed"),
        ({**good, "commit": "main"}, 400, "full commit id"),
        ({"uploadId": "123", "index": "0"}, 404, "no upload 123"),
        (good, 400, "empty"),
    ):
        answer = post(api, b"", **parameters)
        assert answer.status_code == status, answer.text
        assert words in answer.json()["message"]
    unknown = api.http.post(PATH, params=good, content=b"x")
    assert (unknown.status_code, unknown.json()["code"]) == (401, "UNAUTHENTICATED")
    assert "Authorization" in unknown.json()["remedy"]
    headers = {"authorization": f"token {api.token}"}
    for path in (PATH, "/.api/lsif/upload"):
        assert api.http.head(path, headers=headers).status_code == 200
        asked = {"repository": NAME, "commit": "a" * 40, "indexerName": "scip-go"}
        for changed, status in (({}, 200), ({"repository": "nope"}, 404), ({"commit": "abc"}, 400)):
            assert api.http.head(path, params={**asked, **changed}, headers=headers).status_code == status


def test_a_malformed_index_fails_with_its_document_and_byte(api: Api, service: Service) -> None:
    head = message("Index", metadata=metadata()).SerializeToString()
    broken = message("Index", documents=[document("src/bad.py", [occurrence([9, 9, 8])])]).SerializeToString()
    commit = service.commit()
    with uploads_led(api.settings):
        number = uploaded(api, commit, gzip.compress(head + broken))
        failed = in_state(api, number, "PROCESSING_ERRORED")
        lsif = api.http.post(
            "/.api/lsif/upload",
            params={"repository": NAME, "commit": commit, "indexerName": "lsif-go"},
            content=gzip.compress(b'{"id":"1"}'),
            headers={"authorization": f"token {api.token}", "content-type": "application/x-ndjson+lsif"},
        )
        assert lsif.status_code == 202
        refused = in_state(api, lsif.json()["id"], "PROCESSING_ERRORED")
    details = failed["failureDetails"]
    assert (details["code"], details["document"]) == ("malformed-range", "src/bad.py")
    assert details["byteOffset"] == str(len(head) + 2 + 12)
    assert failed["failedAttempts"] == 0, "it would be no better a second time"
    assert "LSIF is no longer processed" in refused["failure"]


def test_who_comes_before_his_commit_waits_and_is_no_failure(api: Api, service: Service) -> None:
    commit, bring = service.unborn()
    with uploads_led(api.settings):
        number = uploaded(api, commit, small_index())
        waiting = until(api, number, lambda one: one["stateReason"].startswith("waits"))
        assert f"commit {commit} is not in the repository yet" in waiting["stateReason"]
        bring()
        found = answering(api, number)
    assert states(found) == ["queued", "queued", "processing", "completed"]
    assert found["failedAttempts"] == 0
    with uploads_led(api.settings, UploadPolicy(commit_wait_s=0.5, commit_look_s=0.2)):
        number = uploaded(api, "f" * 40, small_index())
        failed = in_state(api, number, "PROCESSING_ERRORED")
    assert failed["failure"].startswith("commit not found")
    assert failed["failureDetails"]["code"] == "commit-not-found"


def test_the_newer_upload_answers_in_place_of_the_older(api: Api, service: Service) -> None:
    commit = service.commit()
    with uploads_led(api.settings):
        first = uploaded(api, commit, small_index(2))
        answering(api, first)
        other_root = uploaded(api, commit, small_index(2), root="docs")
        second = uploaded(api, commit, small_index(3))
        answering(api, second)
        replaced = in_state(api, first, "DELETED")
        assert answering(api, other_root)
    assert replaced["replacedBy"] == upload_node_id(int(second))
    assert states(replaced)[-2:] == ["deleting", "deleted"]
    reasons = [log["reason"] for log in replaced["auditLogs"]]
    assert "upload overlapping with a newer upload" in reasons


def test_deleting_by_hand(api: Api, service: Service) -> None:
    commit = service.commit()
    with uploads_led(api.settings):
        number = uploaded(api, commit, small_index())
        answering(api, number)
        api.ask(DELETE, {"id": upload_node_id(int(number))})
        gone = in_state(api, number, "DELETED")
        failed = uploaded(api, commit, b"nonsense")
        in_state(api, failed, "PROCESSING_ERRORED")
        api.ask(DELETE, {"id": node_id("LSIFUpload", int(failed))})
        assert states(in_state(api, failed, "DELETED"))[-2:] == ["failed", "deleted"]
    assert states(gone)[-3:] == ["completed", "deleting", "deleted"]
    assert "direct delete by ID request" in [log["reason"] for log in gone["auditLogs"]]
    assert not gone["visible"]
    api.ask(DELETE, {"id": upload_node_id(int(number))})
    error = api.error(DELETE, {"id": upload_node_id(1)})
    assert error["extensions"]["code"] == "NOT_FOUND"
    waiting = uploaded(api, "e" * 40, small_index())
    api.ask(DELETE, {"id": upload_node_id(int(waiting))})
    assert state(api, waiting)["state"] == "DELETED", "what was not completed is deleted at once"


def test_a_fault_is_tried_again_and_after_the_last_attempt_it_has_failed(
    api: Api, service: Service, reader: Reader
) -> None:
    commit, bring = service.unborn()
    numbers = [uploaded(api, commit, small_index(7 + more), root=f"r{more}") for more in range(2)]
    paths = [Path(blob_of(row(reader, number)).uri.removeprefix("file://")) for number in numbers]
    kept = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    bring()
    with uploads_led(api.settings, SHORT):
        until(api, numbers[0], lambda one: one["failedAttempts"] >= 1)
        paths[0].write_bytes(kept[0])
        mended = answering(api, numbers[0])
        lost = until(api, numbers[1], lambda one: one["failedAttempts"] == 4)
    assert states(mended)[-2:] == ["processing", "completed"]
    assert "errored" in states(mended)
    assert mended["failure"] is None
    assert states(lost) == ["queued", *["processing", "errored"] * 3, "processing", "failed"]
    assert "after 4 attempts" in lost["failure"]
    assert lost["failureDetails"]["code"] == "blob-store"


def test_what_a_worker_left_behind_is_found_and_tried_again(
    api: Api, service: Service, publisher: Publisher
) -> None:
    number = uploaded(api, service.commit(), small_index())
    left = UploadStateChanged(
        upload_id=int(number),
        repository_id=repository_id(NAME),
        from_state=UploadState.QUEUED,
        to_state=UploadState.PROCESSING,
        reason="begins to be processed",
    )
    say(publisher, left)
    in_state(api, number, "PROCESSING")
    with uploads_led(api.settings):
        found = answering(api, number)
    assert states(found) == ["queued", "processing", "errored", "processing", "completed"]
    assert found["failedAttempts"] == 1
    assert found["auditLogs"][2]["reason"] == "the worker that processed it ended before it had"


def test_parts_that_never_come_end_the_upload(api: Api, service: Service) -> None:
    announced = post(
        api,
        repository=NAME,
        commit=service.commit(),
        indexerName="scip-test",
        multiPart="true",
        numParts="2",
    )
    number = announced.json()["id"]
    assert post(api, b"first", uploadId=number, index="0").status_code == 204
    with uploads_led(api.settings, UploadPolicy(uploading_s=0.0)):
        gone = in_state(api, number, "DELETED")
    assert gone["stateReason"] == "stuck in uploading state"
    late = post(api, b"second", uploadId=number, index="1")
    assert late.status_code == 409
    assert "stuck in uploading state" in late.json()["message"]


def test_documents_are_not_kept_twice(api: Api, service: Service, reader: Reader) -> None:
    with uploads_led(api.settings):
        first = uploaded(api, service.commit(), small_index(40, seed="same"), root="store")
        answering(api, first)
        second = uploaded(api, service.commit(), small_index(40, seed="same"), root="store")
        answering(api, second)
    manifests = [row(reader, number).manifest_sha256 for number in (first, second)]
    assert manifests[0] == manifests[1]


def blob_of(upload: Upload) -> BlobRef:
    assert upload.blob is not None
    return upload.blob


def test_an_upload_is_only_seen_by_who_may_see_its_repository(api: Api, reader: Reader) -> None:
    database = make_engine(api.settings, Role.APP, pool_size=1, name="app")
    mine = Reader(database)
    with mine.snapshot(("uploads",), [repository_id(NAME)]) as snapshot:
        assert queries.page(snapshot.connection, queries.Filter(deleted=True), 10) == []
        assert queries.timelines(snapshot.connection, range(10)) == {}
        assert queries.count(snapshot.connection, queries.Filter(deleted=True)) == 0
    with mine.snapshot(("uploads",)) as snapshot:
        assert queries.count(snapshot.connection, queries.Filter(deleted=True)) > 5
    mine.close()
    database.dispose()
