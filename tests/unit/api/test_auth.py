"""Secrets in files, links that work once, cookies that nobody else can make."""

import re
import threading
from pathlib import Path

import pytest

from api.auth.login_links import make_login_link, take_login_token
from api.auth.sessions import Sessions
from api.auth.tokens import admin_token, presented_token, user_of_token
from api.auth.user import Means
from infra.secret_file import SecretExposed, kept_secret

BASE = "http://127.0.0.1:7080"


def token_of(link: str) -> str:
    found = re.fullmatch(r"http://127\.0\.0\.1:7080/login\?(?:to=/whatever&)?token=([\w-]{43})", link)
    assert found is not None, link
    return found[1]


def test_the_token_is_made_once_in_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    made = admin_token(tmp_path / "home")
    file = tmp_path / "home" / "token"
    assert file.read_text().strip() == made == admin_token(tmp_path / "home")
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(made) >= 43


def test_processes_that_start_at_once_agree_on_the_token(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(kept_secret(tmp_path / "token"))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    admin_token(tmp_path)
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(SecretExposed) as caught:
        admin_token(tmp_path)
    assert "chmod 600" in caught.value.remedy


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("token T", "T"),
        ("Token T", "T"),
        ("Bearer T", "T"),
        ("bearer  T ", "T"),
        ("Basic T", None),
        ("token", None),
        ("token ", None),
        ("", None),
    ],
)
def test_tokens_are_read_from_either_scheme(header: str, token: str | None) -> None:
    assert presented_token(header) == token


def test_only_the_token_itself_is_the_admin() -> None:
    user = user_of_token("right", "right")
    assert user is not None
    assert (user.name, user.site_admin, user.means) == ("admin", True, Means.TOKEN)
    assert user_of_token("wrong", "right") is None
    assert user_of_token("", "right") is None


def test_a_link_works_once(tmp_path: Path) -> None:
    token = token_of(make_login_link(tmp_path, BASE + "/"))
    assert not take_login_token(tmp_path, token + "x")
    assert take_login_token(tmp_path, token)
    assert not take_login_token(tmp_path, token)


def test_a_link_expires(tmp_path: Path) -> None:
    token = token_of(make_login_link(tmp_path, BASE, valid_for_s=60, now_s=1_000))
    assert not take_login_token(tmp_path, token, now_s=1_060)
    assert not take_login_token(tmp_path, token, now_s=1_000)


def test_of_a_link_only_a_hash_is_kept_and_expired_ones_are_removed(tmp_path: Path) -> None:
    token = token_of(make_login_link(tmp_path, BASE, valid_for_s=60, now_s=1_000))
    (file,) = (tmp_path / "login").iterdir()
    assert token not in file.name
    assert token not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    make_login_link(tmp_path, BASE, now_s=2_000)
    assert not file.exists()


@pytest.mark.parametrize("token", ["", "../token", "a/b", "é", "\0"])
def test_no_token_leads_out_of_the_folder(tmp_path: Path, token: str) -> None:
    admin_token(tmp_path)
    assert not take_login_token(tmp_path, token)
    assert (tmp_path / "token").exists()


def test_one_of_many_that_come_at_once_gets_in(tmp_path: Path) -> None:
    token = token_of(make_login_link(tmp_path, BASE))
    outcomes: list[str | None] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(take_login_token(tmp_path, token))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes, key=str) == [None] * 15 + ["admin"]


def cookie_pair(set_cookie: str) -> str:
    return set_cookie.partition(";")[0]


def test_a_cookie_reads_back_and_says_how_browsers_must_treat_it() -> None:
    sessions = Sessions("key")
    session, cookie = sessions.begin(secure=False)
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Secure" not in cookie
    assert "Secure" in sessions.begin(secure=True)[1]
    found = sessions.read(f"other=1; {cookie_pair(cookie)}; more=2")
    assert found == session


def test_cookies_of_another_key_or_changed_or_old_are_none() -> None:
    sessions = Sessions("key")
    pair = cookie_pair(sessions.begin(secure=False)[1])
    name, _, value = pair.partition("=")
    assert Sessions("other").read(f"{Sessions('other').cookie_name}={value}") is None
    assert sessions.read(f"{name}={value[:-1]}") is None
    assert sessions.read(f"{name}=") is None
    assert sessions.read("") is None
    assert Sessions("key", lifetime_s=-1).read(pair) is None


def test_installations_on_one_machine_have_cookies_of_their_own() -> None:
    assert Sessions("a").cookie_name != Sessions("b").cookie_name


def test_a_csrf_token_is_that_of_one_session() -> None:
    sessions = Sessions("key")
    (mine, _), (other, _) = sessions.begin(secure=False), sessions.begin(secure=False)
    assert sessions.csrf_token(mine) == sessions.csrf_token(mine) != sessions.csrf_token(other)
