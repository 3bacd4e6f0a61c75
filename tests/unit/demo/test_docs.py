"""What the documents say about commands, settings and examples is so."""

import re
from pathlib import Path

import click
import pytest

from api.cli import main
from infra.settings import Settings
from schemas.ids import canonical_repository_name, repository_id

ROOT = Path(__file__).parents[3]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"millstream ((?:[a-z]+(?:-[a-z]+)*)(?: [a-z]+(?:-[a-z]+)*)?)")


def code(text: str) -> str:
    """Code blocks and inline code."""
    blocks = re.findall(r"```[a-z]*\n(.*?)```", text, flags=re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return "\n".join(blocks + inline)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_exist(document: Path) -> None:
    for words in COMMAND.findall(code(document.read_text(encoding="utf-8"))):
        name, _, sub = words.partition(" ")
        command = main.cli.get_command(click.Context(main.cli), name)
        assert command is not None, f"{document.name}: millstream {words}"
        if sub and isinstance(command, click.Group):
            assert sub in command.commands, f"{document.name}: millstream {words}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_setting_is_documented_as_it_describes_itself() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_]+)` \|[^|]*\| (.*) \|$", text, flags=re.MULTILINE))
    assert rows == {name: field.description for name, field in Settings.model_fields.items()}


def test_example_in_the_document_is_the_file() -> None:
    text = (ROOT / "docs" / "publishing.md").read_text(encoding="utf-8")
    assert (ROOT / "docs" / "examples" / "register_repository.mjs").read_text(encoding="utf-8") in text
    assert repository_id(canonical_repository_name("git@Git.Example.com:team/app.git")) == 6485163499295561


def test_documents_name_no_machine() -> None:
    for document in DOCUMENTS:
        assert not re.search(r"/(root|work|tmp)/", document.read_text(encoding="utf-8")), document.name
