"""A whole Millstream whose monitors reach receivers on loopback: stack, projector, hands, heads and API, each its own process.

And a house of the sender alone, where no process and no broker is needed.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from api.auth.tokens import admin_token
from infra.embedded.services import answers
from infra.installation import set_up
from infra.kafka.producer import Publisher
from infra.settings import Settings
from schemas.codec import new_event
from schemas.events import RepositoryRefreshRequested, RepositoryRegistered
from schemas.ids import repository_id
from schemas.registry import Payload
from tests.integration.streams.children import Child, environment, start_projector
from tests.stack import StackUnderTest
from tests.support.monitor_house import House, house_settings, open_house
from tests.support.receiver import Mails, Receiver, mail_server, receiving
from tests.support.repositories import git
from tests.support.system import eventually

_CHILD = "tests.integration.monitors.child"


@dataclass
class Pushed:
    """A bare repository that is followed, and a clone from which somebody pushes."""

    bare: Path
    work: Path
    name: str

    @property
    def id(self) -> int:
        return repository_id(self.name)

    def commit(self, content: str, path: str = "a.txt", message: str = "change") -> str:
        """Commit and push; the commit."""
        (self.work / path).write_text(content)
        git(self.work, "add", path)
        git(self.work, "commit", "-q", "-m", message)
        git(self.work, "push", "-q", "origin", "HEAD:main")
        return git(self.work, "rev-parse", "HEAD").decode().strip()


@dataclass
class World:
    """What the tests hold in their hands."""

    settings: Settings
    folder: Path
    publisher: Publisher
    receiver: Receiver
    mails: Mails
    environ: Mapping[str, str]
    children: dict[str, Child] = field(default_factory=dict)
    url: str = ""

    def start(self, what: str) -> Child:
        self.children[what] = Child([_CHILD, str(self.folder), what], self.environ)
        return self.children[what]

    def ready(self, what: str) -> Child:
        child = self.start(what)
        try:
            child.wait_for(
                lambda lines: [line for line in lines if line.get("action") == "ready"],
                f"{what} to be ready",
                60,
            )
        except AssertionError as error:
            raise AssertionError(f"{error}: {child.text[-30:]} {child.lines[-10:]}") from error
        return child

    def publish(self, *payloads: Payload) -> None:
        self.publisher.publish([new_event(one, source="//tests", time=datetime.now(UTC)) for one in payloads])

    def repository(self, name: str) -> Pushed:
        """Followed, with one commit, and ready."""
        bare, work = self.folder / f"{name}.git", self.folder / name
        bare.mkdir()
        git(bare, "init", "-q", "--bare", "--initial-branch=main")
        git(self.folder, "clone", "-q", str(bare), str(work))
        found = Pushed(bare, work, f"monitors.test/{name}")
        found.commit("TODO from before\n", "old.txt")
        self.publish(RepositoryRegistered(repository_id=found.id, name=found.name, path=str(bare)))
        eventually(lambda: self._is_ready(found.name), f"the clone of {name}", timeout_s=30)
        return found

    def notify(self, repository: Pushed) -> None:
        """What a hook does after a push."""
        self.publish(RepositoryRefreshRequested(repository_id=repository.id))

    def graphql(self, query: str, variables: Mapping[str, Any] | None = None) -> Any:
        headers = {"Authorization": f"token {admin_token(self.settings.home)}"}
        answer = httpx.post(
            f"{self.url}/.api/graphql",
            json={"query": query, "variables": dict(variables or {})},
            headers=headers,
            timeout=30,
            trust_env=False,
        ).json()
        assert not answer.get("errors"), answer["errors"]
        return answer["data"]

    def page(self, path: str) -> str:
        """A page as the admin sees it."""
        headers = {"Authorization": f"token {admin_token(self.settings.home)}"}
        answer = httpx.get(f"{self.url}{path}", headers=headers, timeout=30, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.text

    def create(
        self, query: str, actions: Sequence[Mapping[str, Any]], description: str = "watch"
    ) -> Mapping[str, Any]:
        me = self.graphql("{ currentUser { id } }")["currentUser"]["id"]
        actions = [
            {
                name: {**fields, "recipients": [me]} if name == "email" else fields
                for name, fields in one.items()
            }
            for one in actions
        ]
        made: Mapping[str, Any] = self.graphql(
            """mutation ($m: MonitorInput!, $t: MonitorTriggerInput!, $a: [MonitorActionInput!]!) {
              createCodeMonitor(monitor: $m, trigger: $t, actions: $a) { id enabled
                trigger { ... on MonitorQuery { query } }
                actions { nodes { __typename
                  ... on MonitorEmail { id } ... on MonitorSlackWebhook { id url }
                  ... on MonitorWebhook { id url signingSecret } } } } }""",
            {
                "m": {"namespace": me, "description": description, "enabled": True},
                "t": {"query": query},
                "a": actions,
            },
        )["createCodeMonitor"]
        return made

    def runs(self, monitor: str) -> list[Mapping[str, Any]]:
        """The history, the newest first."""
        found = self.graphql(
            """query ($id: ID!) { node(id: $id) { ... on Monitor { trigger { ... on MonitorQuery {
              events(first: 100) { nodes { id status outcome cause resultCount commitCount message warnings
                repository { name } results { commit diff matchedDiffRanges message }
                actions { nodes {
                  ... on MonitorWebhook { events { nodes { status attempts message deliveryID } } }
                  ... on MonitorSlackWebhook { events { nodes { status attempts message } } }
                  ... on MonitorEmail { events { nodes { status attempts message } } } } } } } } } } } }""",
            {"id": monitor},
        )
        return list(found["node"]["trigger"]["events"]["nodes"])

    def wait_run(self, monitor: str, count: int = 1) -> Mapping[str, Any]:
        """The newest run, once so many have ended."""

        def ended() -> Mapping[str, Any] | None:
            runs = self.runs(monitor)
            over = [one for one in runs if one["status"] != "PENDING"]
            return over[0] if len(over) >= count else None

        return eventually(ended, f"{count} runs", timeout_s=40)

    def _is_ready(self, name: str) -> bool:
        found = self.graphql(
            "query ($n: String!) { repository(name: $n) { mirrorInfo { cloned } } }", {"n": name}
        )
        return bool(found["repository"] and found["repository"]["mirrorInfo"]["cloned"])


def webhook(url: str, *, include_results: bool = True) -> dict[str, Any]:
    return {"webhook": {"enabled": True, "includeResults": include_results, "url": url}}


@pytest.fixture(scope="module")
def world(lent_stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("monitors")
    settings = Settings(
        home=lent_stack.home,
        kafka_bootstrap=lent_stack.kafka_bootstrap,
        database_url=SecretStr(lent_stack.database_url),
    )
    set_up(settings)
    with receiving() as receiver, mail_server() as (mails, mail_port), Publisher(settings) as publisher:
        environ = environment(
            settings,
            MILLSTREAM_ACTION_ALLOWED_HOSTS="127.0.0.1",
            MILLSTREAM_ACTION_SLACK_HOSTS="127.0.0.1",
            MILLSTREAM_SMTP_HOST="127.0.0.1",
            MILLSTREAM_SMTP_PORT=str(mail_port),
            MILLSTREAM_SMTP_SECURITY="none",
            MILLSTREAM_BIND_PORT="0",
            MILLSTREAM_EXTERNAL_URL="https://millstream.example",
        )
        found = World(settings, folder, publisher, receiver, mails, environ)
        projector = start_projector(settings)
        try:
            api = found.start("api")
            address = settings.home / "api.json"
            api.wait_for(lambda _: address.exists(), "the API", 60)
            found.url = json.loads(address.read_text())["url"]
            eventually(lambda: answers(int(found.url.rpartition(":")[2])), "the API to answer", timeout_s=30)
            found.ready("hands")
            found.ready("heads")
            yield found
        finally:
            for child in (*found.children.values(), projector):
                if child.process.poll() is None:
                    child.kill()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def settings_of_house(database: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return house_settings(database, tmp_path_factory.mktemp("house"))


@pytest.fixture
def house(settings_of_house: Settings) -> Iterator[House]:
    with open_house(settings_of_house) as opened:
        yield opened
