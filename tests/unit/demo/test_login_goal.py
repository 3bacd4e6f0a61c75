"""A login link leads on to a page of ours, and nowhere else."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from api.auth.login_links import local_path, make_login_link


@pytest.mark.parametrize("path", ["/", "/insights", "/insights/aW5zaWdodA==", "/insights/a/"])
def test_own_paths_are_kept(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/a//b",
        "/a;url=b",
        '/"',
        "/a b",
        "/a\n",
        "javascript:1",
        "/" + "a" * 5000 + "!",
    ],
)
def test_everything_else_leads_home(path: str) -> None:
    assert local_path(path) == "/"


def test_link_carries_the_page_that_it_was_made_for(tmp_path: Path) -> None:
    link = urlsplit(make_login_link(tmp_path, "http://127.0.0.1:7080/insights/aW5z=="))
    assert (link.netloc, link.path) == ("127.0.0.1:7080", "/login")
    assert parse_qs(link.query)["to"] == ["/insights/aW5z=="]
    assert "to" not in parse_qs(urlsplit(make_login_link(tmp_path, "http://127.0.0.1:7080")).query)
