"""What stays behind is removed: blobs that no upload names any more, and secrets that no monitor names, after a time of grace."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from api.graphql.ids import upload_node_id
from infra.aside import Aside
from infra.blobs import BlobMissing, BlobRef, BlobStore
from infra.into_place import unfinished
from infra.kafka.admin import KafkaAdmin
from infra.kafka.producer import Publisher
from infra.postgres.role import Role
from projections.reading import Reader
from projections.uploads.queries import Upload
from schemas.envelope import Position
from schemas.events import (
    BlobPart,
    Found,
    RepositoryRegistered,
    ResultsBlob,
    RunOutcome,
    RunStatus,
    TriggerEvaluated,
    UploadDescription,
    UploadState,
    UploadStateChanged,
)
from schemas.ids import repository_id
from schemas.topics import Topic
from streams.agent import Outgoing
from streams.batches import BatchContext
from streams.log_ends import TopicEnds
from streams.monitors.doors import open_doors
from streams.monitors.forgetting import OF_MONITORS, UnnamedSecrets
from streams.publishing import encoded
from streams.uploads.remover import Remover
from streams.uploads.store import Manifest
from tests.integration.api.conftest import Api
from tests.integration.api.questions import say
from tests.integration.api.uploading import (
    DELETE,
    NAME,
    Service,
    answering,
    in_state,
    row,
    state,
    until,
    uploaded,
)
from tests.support.scip import small_index
from tests.support.uploading import uploads_led

GRACE: Final = timedelta(hours=24)
LONG: Final = GRACE + timedelta(minutes=1)


class Clock(BatchContext):
    """The real time, and how far a test is ahead of it."""

    def __init__(self, publisher: Publisher) -> None:
        async def publish(outgoing: Sequence[Outgoing]) -> Sequence[Position]:
            return await asyncio.to_thread(lambda: publisher.publish_all(encoded(outgoing)))

        super().__init__(publish)
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Broom:
    """The remover over the installation, and the clock that it goes by."""

    def __init__(self, api: Api, reader: Reader, admin: KafkaAdmin, publisher: Publisher) -> None:
        self.clock = Clock(publisher)
        self.blobs = BlobStore(api.settings.effective_blob_url)
        self.aside = Aside(self.blobs)
        self.secrets = open_doors(api.settings, reader, Role.WORKER).secrets
        self._reader, self._ends = reader, TopicEnds(admin)
        self.restart()

    def restart(self) -> None:
        """Another leader: it knows nothing but what is on the log and in the stores."""
        self._remover = Remover(self._reader, self._ends, self.blobs, self.clock, GRACE)
        self._forgetting = UnnamedSecrets(
            OF_MONITORS, self._reader, self._ends, self.secrets, self.clock, GRACE
        )

    def sweep(self) -> None:
        asyncio.run(self._remover.tick())

    def forget(self) -> None:
        asyncio.run(self._forgetting.tick())


@pytest.fixture(scope="module")
def broom(api: Api, reader: Reader, publisher: Publisher) -> Iterator[Broom]:
    with KafkaAdmin(api.settings) as admin:
        yield Broom(api, reader, admin, publisher)


@pytest.fixture(scope="module")
def service(publisher: Publisher, tmp_path_factory: pytest.TempPathFactory, api: Api) -> Service:
    folder = tmp_path_factory.mktemp("service")
    made = Service(folder, publisher)
    registered = RepositoryRegistered(repository_id=repository_id(NAME), name=NAME, path=str(folder))
    position = say(publisher, registered)
    made.push()
    known = "query K($name: String!, $min: [String!]) { repository(name: $name, minPosition: $min) { id } }"
    assert api.ask(known, {"name": NAME, "min": position})["repository"]
    return made


def contents(broom: Broom, upload: Upload) -> set[str]:
    """Everything in the store that belongs to it, by SHA-256."""
    assert upload.blob is not None
    assert upload.manifest is not None
    manifest = Manifest(broom.blobs, upload.manifest)
    return {upload.blob.sha256, upload.manifest.sha256, *(one.sha256 for one in manifest.directory.packs)}


def deleted(api: Api, number: str) -> None:
    api.ask(DELETE, {"id": upload_node_id(int(number))})
    in_state(api, number, "DELETED")


def through(api: Api, number: str) -> Any:
    """Its timeline says that nothing of it is kept."""
    return until(api, number, lambda one: _columns(one)[-1] == "content_removed")


def _columns(one: Any) -> list[str]:
    return [column["column"] for log in one["auditLogs"] for column in log["changedColumns"]]


def test_a_shared_blob_stays_and_an_unshared_one_goes_after_its_grace(
    api: Api, service: Service, reader: Reader, broom: Broom
) -> None:
    commit = service.commit()
    with uploads_led(api.settings):
        shared, sharing, alone = (
            uploaded(api, commit, small_index(files), root=root)
            for files, root in ((4, "one"), (4, "two"), (6, "three"))
        )
        for number in (shared, sharing, alone):
            answering(api, number)
        kept, lonely = contents(broom, row(reader, sharing)), contents(broom, row(reader, alone))
        assert kept == contents(broom, row(reader, shared))
        assert len(lonely) == 3
        assert not kept & lonely
        broom.sweep()
        assert broom.aside.all() == {}, "nothing is deleted yet"
        deleted(api, shared)
        deleted(api, alone)
    broom.sweep()
    through(api, shared)
    assert set(broom.aside.all()) == lonely
    assert contents(broom, row(reader, alone)) == lonely, "what is set aside can still be read"
    broom.restart()
    broom.clock.ahead = GRACE - timedelta(minutes=1)
    broom.sweep()
    assert set(broom.aside.all()) == lonely
    broom.clock.ahead = LONG
    broom.sweep()
    assert broom.aside.all() == {}
    broom.restart()
    broom.sweep()
    through(api, alone)
    assert row(reader, alone).content_removed_at is not None
    manifest = row(reader, alone).manifest
    assert manifest is not None
    with pytest.raises(BlobMissing):
        broom.blobs.read(manifest)
    assert all(broom.blobs.exists(one) for one in kept)
    assert state(api, sharing)["visible"]


def test_what_is_named_again_in_between_stays(
    api: Api, service: Service, reader: Reader, broom: Broom, publisher: Publisher
) -> None:
    broom.clock.ahead = timedelta()
    commit, content = service.commit(), small_index(5)
    with uploads_led(api.settings):
        first = uploaded(api, commit, content, root="again")
        answering(api, first)
        needed = contents(broom, row(reader, first))
        deleted(api, first)
        # Whoever puts it now finds it there, writes nothing, and names it only after it was set aside.
        index = broom.blobs.put(content)
        broom.sweep()
        assert set(broom.aside.all()) == needed
        assert not broom.blobs.exists(index.sha256)
        second = int(first) + 1
        say(publisher, _queued(second, commit, BlobPart(uri=index.uri, size_bytes=index.size_bytes, sha256=index.sha256)))  # fmt: skip
        answering(api, str(second))
    broom.clock.ahead = LONG
    broom.restart()
    broom.sweep()
    assert broom.aside.all() == {}
    assert all(broom.blobs.exists(one) for one in needed)
    assert contents(broom, row(reader, str(second))) == needed
    through(api, first)
    assert row(reader, str(second)).content_removed_at is None


def test_the_results_of_a_monitor_stay_whoever_uploaded_the_same_bytes(
    api: Api, service: Service, reader: Reader, broom: Broom, publisher: Publisher
) -> None:
    broom.clock.ahead = timedelta()
    before = set(broom.aside.all())
    with uploads_led(api.settings):
        numbers = [uploaded(api, service.commit(), small_index(files), root="found") for files in (8, 9)]
        for number in numbers:
            answering(api, number)
        needed = [contents(broom, row(reader, number)) for number in numbers]
        early, late = (blob for number in numbers if (blob := row(reader, number).blob) is not None)
        say(publisher, _found(1, early))
        for number in numbers:
            deleted(api, number)
    broom.sweep()
    assert set(broom.aside.all()) - before == (needed[0] | needed[1]) - {early.sha256}
    say(publisher, _found(2, late))
    broom.clock.ahead = LONG
    broom.sweep()
    broom.sweep()
    assert broom.aside.all() == {}
    assert broom.blobs.exists(early.sha256)
    assert broom.blobs.exists(late.sha256), "it was brought back"
    assert not any(broom.blobs.exists(one) for one in (needed[0] | needed[1]) - {early.sha256, late.sha256})
    for number in numbers:
        through(api, number)


@pytest.mark.parametrize(("projection", "topic"), [("uploads", Topic.UPLOADS), ("monitors", Topic.TRIGGERS)])
def test_nothing_is_removed_while_an_event_that_may_name_it_is_put_aside(
    api: Api, service: Service, reader: Reader, broom: Broom, projection: str, topic: Topic
) -> None:
    """An operator may bring it back."""
    broom.clock.ahead = timedelta()
    before = set(broom.aside.all())
    with uploads_led(api.settings):
        number = uploaded(api, service.commit(), small_index(7, seed=projection), root="held")
        answering(api, number)
        needed = contents(broom, row(reader, number))
        deleted(api, number)
    generation = _generation(api, projection)
    with psycopg.connect(api.settings.dsn(Role.ADMIN), autocommit=True) as connection:
        connection.execute(
            f'insert into "{generation}".dead_letters (topic, partition, "offset", append_time, reason, path, header_names, header_values) '
            "values (%s, 0, 999999, now(), 'test', '', '{}', '{}')",
            (topic.value,),
        )
        broom.sweep()
        assert set(broom.aside.all()) == before
        connection.execute(f'delete from "{generation}".dead_letters where "offset" = 999999')
    broom.sweep()
    assert set(broom.aside.all()) == before | needed


def test_what_a_killed_writer_left_half_written_goes_after_a_day(broom: Broom) -> None:
    broom.clock.ahead = timedelta()
    left = Path(unfinished(broom.blobs.path_of("0" * 64)))
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"half")
    broom.restart()
    broom.sweep()
    assert left.exists()
    broom.clock.ahead = LONG
    broom.restart()
    broom.sweep()
    assert not left.exists()


def _found(number: int, blob: BlobRef) -> TriggerEvaluated:
    """A run of a monitor whose results stand in this blob."""
    outcome = RunOutcome(
        monitor_id=7,
        begun=0,
        status=RunStatus.COMPLETED,
        query="type:diff q",
        results=[Found(commit="ab" * 20)],
        result_count=1,
        match_count=1,
        blob=ResultsBlob(uri=blob.uri, size_bytes=blob.size_bytes, sha256=blob.sha256),
    )
    return TriggerEvaluated(
        repository_id=repository_id(NAME), moment=f"push:{number}", pushed_offset=number, outcomes=[outcome]
    )


def _queued(upload_id: int, commit: str, blob: BlobPart) -> UploadStateChanged:
    described = UploadDescription(
        commit=commit,
        root="again/",
        indexer="scip-test",
        format="scip",
        uploaded_by="ann",
        created_at=datetime.now(UTC),
    )
    return UploadStateChanged(
        upload_id=upload_id,
        repository_id=repository_id(NAME),
        from_state=None,
        to_state=UploadState.QUEUED,
        reason="uploaded",
        upload=described,
        blob=blob,
    )


def _generation(api: Api, projection: str) -> str:
    with psycopg.connect(api.settings.dsn(Role.ADMIN)) as connection:
        found = connection.execute(
            "select schema_name from runtime.generations where projection = %s", (projection,)
        ).fetchone()
    assert found is not None
    return str(found[0])


CREATE: Final = """
mutation C($user: ID!, $actions: [MonitorActionInput!]!) {
  createCodeMonitor(
    monitor: { namespace: $user, description: "d", enabled: true }, trigger: { query: "type:diff TODO" }, actions: $actions
  ) { id actions { nodes { ... on MonitorWebhook { id } ... on MonitorSlackWebhook { id } } } }
}"""
UPDATE: Final = """
mutation U($id: ID!, $user: ID!, $actions: [MonitorEditActionInput!]!) {
  updateCodeMonitor(
    monitor: { id: $id, update: { namespace: $user, description: "d", enabled: true } },
    trigger: { update: { query: "type:diff TODO" } }, actions: $actions
  ) { id }
}"""


def kept_secrets(api: Api) -> dict[str, int]:
    """How many of each kind the vault has."""
    with psycopg.connect(api.settings.dsn(Role.ADMIN)) as connection:
        found = connection.execute("select kind, count(*) from vault.secrets group by kind").fetchall()
    return {str(kind): int(count) for kind, count in found}


def test_secrets_of_monitors_leave_the_vault_when_nothing_names_them(api: Api, broom: Broom) -> None:
    broom.clock.ahead = timedelta()
    user = api.ask("{ currentUser { id } }")["currentUser"]["id"]
    hook = {"enabled": True, "includeResults": False, "url": "https://hooks.example.com/1"}
    chat = {"enabled": True, "includeResults": False, "url": "https://hooks.slack.com/services/1"}
    made = api.ask(CREATE, {"user": user, "actions": [{"webhook": hook}, {"slackWebhook": chat}]})
    monitor = made["createCodeMonitor"]
    hook_id, chat_id = (one["id"] for one in monitor["actions"]["nodes"])
    other = broom.secrets.put("an address", kind="email", owner="ann")
    assert kept_secrets(api) == {
        "webhook-url": 1,
        "webhook-signing-key": 1,
        "slack_webhook-url": 1,
        "email": 1,
    }
    # Another address for the webhook: its key stays. The chat stays as it is.
    actions = [
        {"webhook": {"id": hook_id, "update": hook | {"url": "https://hooks.example.com/2"}}},
        {"slackWebhook": {"id": chat_id, "update": chat | {"url": ""}}},
    ]
    api.ask(UPDATE, {"id": monitor["id"], "user": user, "actions": actions})
    assert kept_secrets(api)["webhook-url"] == 2
    broom.forget()
    broom.clock.ahead = GRACE - timedelta(minutes=1)
    broom.restart()
    broom.forget()
    assert kept_secrets(api)["webhook-url"] == 2, "what is on its way may still need it"
    broom.clock.ahead = LONG
    broom.forget()
    live = {"webhook-url": 1, "webhook-signing-key": 1, "slack_webhook-url": 1, "email": 1}
    assert kept_secrets(api) == live
    url = "query U($id: ID!) { node(id: $id) { ... on MonitorWebhook { url } ... on MonitorSlackWebhook { url } } }"
    assert api.ask(url, {"id": hook_id})["node"]["url"] == "https://hooks.example.com/2"
    assert api.ask(url, {"id": chat_id})["node"]["url"] == "https://hooks.slack.com/services/1"
    api.ask("mutation D($id: ID!) { deleteCodeMonitor(id: $id) { alwaysNil } }", {"id": monitor["id"]})
    broom.forget()
    assert kept_secrets(api) == live
    broom.clock.ahead = LONG + LONG
    broom.forget()
    assert kept_secrets(api) == {"email": 1}
    assert broom.secrets.get(other.ref, kind="email", owner="ann") == "an address"
