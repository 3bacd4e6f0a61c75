"""Uploads as people see them: one on its way to its answer, what answers at a commit, what is wrong with it, and its end."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import expect

from api.graphql.ids import upload_node_id
from tests.browser.conftest import OpenPage
from tests.browser.insights import HOST
from tests.support.repositories import RepositoryBuilder, git
from tests.support.scip import small_index
from tests.support.system import RunningSystem

_NAME = f"{HOST}/indexed"
_UPLOADS = f"/{_NAME}/-/code-intelligence/uploads"
_READ_MS = 40_000


@dataclass(frozen=True)
class Indexed:
    """A repository with a commit to index."""

    system: RunningSystem
    commit: str

    def announce(self, root: str) -> str:
        """An upload in two parts: it waits for them, as long as somebody likes to look at it."""
        return self._post(
            b"",
            repository=_NAME,
            commit=self.commit,
            root=root,
            indexerName="scip-test",
            multiPart="true",
            numParts="2",
        )

    def send(self, number: str, content: bytes) -> None:
        half = len(content) // 2
        for index, part in enumerate((content[:half], content[half:])):
            self._post(part, uploadId=number, index=str(index))
        self._post(b"", uploadId=number, done="true")

    def _post(self, content: bytes, **parameters: str) -> str:
        with self.system.client() as client:
            answer = client.post(
                "/.api/scip/upload",
                params=parameters,
                content=content,
                headers={"Content-Type": "application/x-protobuf+scip"},
            )
        assert answer.status_code in (202, 204), answer.text
        return str(answer.json()["id"]) if answer.status_code == 202 else ""


@pytest.fixture(scope="module")
def indexed(system: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> Indexed:
    builder = RepositoryBuilder(tmp_path_factory.mktemp("indexed") / "indexed")
    builder.commit(datetime.now(UTC), {"src/a0.py": "x\n"})
    folder: Path = builder.build()
    system.cli("repo", "add", str(folder), "--name", _NAME, "--wait")
    return Indexed(system, git(folder, "rev-parse", "main").decode().strip())


def test_an_open_page_follows_an_upload_to_its_answer_and_it_is_deleted_by_its_button(
    indexed: Indexed, open_page: OpenPage
) -> None:
    listing = open_page(_UPLOADS)
    expect(listing.get_by_role("heading", name="No upload yet")).to_be_visible()
    number = indexed.announce("web/")
    page = open_page(f"{_UPLOADS}/{upload_node_id(int(number))}")
    expect(page.locator("#upload-state")).to_contain_text("uploading")
    page.evaluate("window.kept = document.querySelector('h1')")
    indexed.send(number, small_index(5, seed="browser"))
    expect(page.locator("#upload-state")).to_contain_text("completed, answers", timeout=_READ_MS)
    expect(page.locator("#timeline li")).to_have_count(6, timeout=_READ_MS)
    expect(page.locator("#facts")).to_contain_text("5 documents")
    assert page.evaluate("window.kept === document.querySelector('h1')"), "nobody reloaded"
    listing.reload()
    expect(listing.locator("#uploads tbody tr")).to_have_count(1)
    listing.get_by_role("link", name="Commit graph").click()
    expect(listing.locator("#graph-state")).to_contain_text("current", timeout=_READ_MS)
    listing.locator("#uploads tbody").get_by_role("link", name="web/").click()
    expect(listing).to_have_url(re.compile(f"/uploads/{upload_node_id(int(number))}$"))
    page.get_by_role("link", name="Delete…").click()
    page.get_by_role("link", name="No, go back").click()
    page.get_by_role("link", name="Delete…").click()
    page.get_by_role("button", name="Delete the upload").click()
    expect(page.locator("#upload-state")).to_contain_text("deleted", timeout=_READ_MS)
    expect(page.get_by_role("link", name="Delete…")).to_have_count(0)
    # The other page was told by nobody: it asks.
    listing.goto(_UPLOADS)
    expect(listing.get_by_role("heading", name="No upload yet")).to_be_visible()
    listing.get_by_label("deleted ones too").check()
    listing.get_by_role("button", name="Find").click()
    expect(listing.locator("#uploads tbody tr")).to_contain_text("deleted")


def test_an_index_that_is_none_says_where(indexed: Indexed, open_page: OpenPage) -> None:
    number = indexed.announce("broken/")
    indexed.send(number, b"this is no index")
    page = open_page(f"{_UPLOADS}/{upload_node_id(int(number))}")
    expect(page.locator("#upload-state")).to_contain_text("failed", timeout=_READ_MS)
    expect(page.locator("#upload-problem")).to_contain_text("at byte")
    page.goto("/site-admin/code-intelligence/uploads?q=broken")
    expect(page.locator("#uploads tbody tr")).to_contain_text(_NAME)


def test_an_account_is_opened_and_gets_a_token(system: RunningSystem, open_page: OpenPage) -> None:
    page = open_page("/site-admin/users")
    page.get_by_label("Open an account").fill("browser-ann")
    page.get_by_role("button", name="Open", exact=True).click()
    row = page.locator("#users tbody tr").filter(has_text="browser-ann")
    row.get_by_text("New token").click()
    row.get_by_label("What it is for").fill("a test")
    row.get_by_role("button", name="Make it").click()
    expect(page.locator("#token-text")).to_have_text(re.compile(r"^\S{20,}$"))
