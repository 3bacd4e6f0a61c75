"""Every rule of ``addRepository``'s input."""

import pytest

from api.commands.errors import InputRefused
from api.commands.repositories import registration
from schemas.ids import repository_id


def test_the_id_is_that_of_the_canonical_name() -> None:
    made = registration(name=None, path=None, clone_url="https://Git.Example.com/Team/app.git")
    assert made.name == "git.example.com/Team/app"
    assert made.repository_id == repository_id("git.example.com/Team/app")
    assert (made.path, made.clone_url) == (None, "https://Git.Example.com/Team/app.git")


def test_a_path_is_a_local_repository() -> None:
    made = registration(name=None, path="/srv/code/app", clone_url=None, fork=True)
    assert (made.name, made.path, made.fork) == ("local/srv/code/app", "/srv/code/app", True)


def test_a_name_of_one_s_own_wins() -> None:
    made = registration(name="example.com/x", path="/srv/code/app", clone_url=None)
    assert made.name == "example.com/x"


@pytest.mark.parametrize(
    ("field", "name", "path", "url"),
    [
        ("path", None, None, None),
        ("path", None, "/a/b", "https://example.com/a/b"),
        ("path", None, "a/b", None),
        ("path", None, "/a\0b", None),
        ("cloneUrl", None, None, "ext::sh -c id"),
        ("cloneUrl", None, None, "--upload-pack=id"),
        ("cloneUrl", None, None, "ftp://example.com/a/b"),
        ("cloneUrl", None, None, "https://user:secret@example.com/a/b"),
        ("cloneUrl", None, None, "https://example.com"),
        ("name", "nohost", "/a/b", None),
        ("name", "host/" + "x" * 1100, "/a/b", None),
    ],
)
def test_what_breaks_a_rule_is_refused_with_its_place(
    field: str, name: str | None, path: str | None, url: str | None
) -> None:
    with pytest.raises(InputRefused) as caught:
        registration(name=name, path=path, clone_url=url)
    assert caught.value.extensions["field"] == field
    assert "secret" not in str(caught.value)
