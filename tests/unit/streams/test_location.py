"""Which clone URLs are followed, what is said about them, and how globs read."""

import pytest
import re2

from streams.recordings.globs import path_pattern
from streams.repositories.location import CloneRefused, check_clone_url, without_credentials


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a/b.git",
        "ssh://git@example.org:2222/a/b.git",
        "file:///srv/a.git",
        "git@example.org:a/b.git",
        "example.org:a/b",
    ],
)
def test_file_https_and_ssh_are_followed(url: str) -> None:
    check_clone_url(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.org/a.git", "transport-refused"),
        ("git://example.org/a.git", "transport-refused"),
        ("ext::sh -c id", "invalid-url"),
        ("ext::sh", "transport-refused"),
        ("fd::17/foo", "transport-refused"),
        ("--upload-pack=touch /tmp/x", "invalid-url"),
        ("-oProxyCommand=id:a", "invalid-url"),
        ("/srv/a.git", "transport-refused"),
        ("javascript:alert(1)", "transport-refused"),
        ("https:example.org", "transport-refused"),
        ("https://user:secret@example.org/a.git", "credentials-in-url"),
        ("https://token@example.org/a.git", "credentials-in-url"),
        ("https://[x", "invalid-url"),
        ("ssh://git:secret@example.org/a.git", "credentials-in-url"),
    ],
)
def test_everything_else_is_refused_without_repeating_a_secret(url: str, reason: str) -> None:
    with pytest.raises(CloneRefused) as caught:
        check_clone_url(url)
    assert caught.value.reason == reason
    assert "secret" not in str(caught.value)
    assert "token@" not in str(caught.value)


def test_credentials_are_cut_out_of_messages() -> None:
    said = "fatal: unable to access 'https://me:pass@example.org/x/': 403; ssh://git@h/p"
    assert without_credentials(said) == "fatal: unable to access 'https://example.org/x/': 403; ssh://h/p"


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("*.json", ["a.json"], ["d/a.json", "a.jsonx"]),
        ("**/*.json", ["a.json", "d/e/a.json"], ["a.js"]),
        ("vendor/**", ["vendor/a", "vendor/b/c"], ["x/vendor/a"]),
        ("a?c.txt", ["abc.txt"], ["a/c.txt", "abbc.txt"]),
        ("go+.sum", ["go+.sum"], ["goo.sum"]),
    ],
)
def test_globs_of_large_files(glob: str, yes: list[str], no: list[str]) -> None:
    pattern = re2.compile(path_pattern(glob))
    assert [path for path in [*yes, *no] if pattern.search(path)] == yes
