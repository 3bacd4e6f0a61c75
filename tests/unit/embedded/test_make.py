"""The Makefile and its scripts: what a person types arrives, and what is missing is said with its remedy."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "infra" / "embedded"
OF_THE_CALLER = frozenset(
    ("MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "ARGS", "PYTHON", "MILLSTREAM_REQUIRE_BROWSER")
)
"""What a ``make test ARGS=...`` around these tests has exported."""
TOOLS = ("sh", "sed", "dirname", "cat", "rm", "cut", "sha256sum", "tail", "grep", "id", "mktemp", "env")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile with a Python that only says what it was given."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "infra" / "embedded").mkdir(parents=True)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    _script(tmp_path / "infra" / "embedded" / "make_venv.sh", "exit 0")
    _script(
        tmp_path / ".venv" / "bin" / "python",
        'printf "%s\\n" "$*"; printf "[%s]\\n" "$MILLSTREAM_DEMO_REPO" "$MILLSTREAM_DEMO_QUERY"',
    )
    return tmp_path


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A PATH with the basic tools and no Python, uv, apt or browser."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


def _script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def _run(
    *command: str, cwd: Path, path: Path | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in OF_THE_CALLER}
    if path is not None:
        kept["PATH"] = str(path)
    return subprocess.run(
        command, cwd=cwd, env={**kept, **environ}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    "query",
    [
        "TODO",
        "two words",
        """both 'kinds' of "quotes" """,
        "$HOME ${HOME} $(HOME) $$ $",
        "`touch pwned` $(shell touch pwned) ; touch pwned",
        "regexp \\bfoo\\(\\d+ # not a comment",
        "$(unbalanced",
        "-minus *.py !bang ~ ünï",
    ],
)
def test_a_query_arrives_as_it_was_typed(checkout: Path, query: str) -> None:
    repo = "/a b/c https://git.example.com/x.git"
    result = _run("make", "demo", f"REPO={repo}", f"QUERY={query}", "ARGS=--exit", cwd=checkout)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"-m api.cli.main demo --exit\n[{repo}]\n[{query}]\n"
    assert not (checkout / "pwned").exists()


def test_without_arguments_nothing_is_handed_on(checkout: Path) -> None:
    assert _run("make", "demo", cwd=checkout).stdout.splitlines() == ["-m api.cli.main demo", "[]", "[]"]


def test_make_alone_says_what_there_is(checkout: Path) -> None:
    assert "make demo" in _run("make", cwd=checkout).stdout


@pytest.fixture
def empty_checkout(tmp_path: Path) -> Path:
    """The environment's script beside the files that it reads; nothing is installed."""
    folder = tmp_path / "checkout"
    (folder / "infra" / "embedded").mkdir(parents=True)
    shutil.copy(SCRIPTS / "make_venv.sh", folder / "infra" / "embedded")
    (folder / "requirements.lock").write_text("")
    (folder / "pyproject.toml").write_text("")
    return folder


def _make_venv(checkout: Path, path: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return _run("/bin/sh", "infra/embedded/make_venv.sh", cwd=checkout, path=path, **environ)


def test_no_python_is_one_line_and_a_remedy(empty_checkout: Path, bare_path: Path) -> None:
    _script(bare_path / "python3", "exit 1")
    result = _make_venv(empty_checkout, bare_path)
    error, remedy = result.stderr.splitlines()
    assert result.returncode == 1
    assert "no Python of 3.11 to 3.14" in error
    assert "python3-venv" in remedy


def test_a_python_that_was_asked_for_and_is_too_old(empty_checkout: Path, bare_path: Path) -> None:
    _script(bare_path / "old", "exit 1")
    result = _make_venv(empty_checkout, bare_path, PYTHON="old")
    assert result.returncode == 1
    assert "PYTHON=old is not a Python of 3.11 to 3.14" in result.stderr


_NO_VENV = """case "$*" in
*ensurepip*|*venv*) echo "No module named ensurepip" >&2; exit 1 ;;
*print*) echo 3.12 ;;
esac"""


def test_a_python_without_venv_names_the_package(empty_checkout: Path, bare_path: Path) -> None:
    _script(bare_path / "python3", _NO_VENV)
    result = _make_venv(empty_checkout, bare_path)
    assert result.returncode == 1
    assert "python3 has no venv and pip" in result.stderr
    assert "apt-get install python3-venv" in result.stderr
    assert not (empty_checkout / ".venv").exists()


def test_a_half_install_is_done_again_and_a_whole_one_is_not(empty_checkout: Path, bare_path: Path) -> None:
    """With a Python that makes an environment of itself and whose pip fails the first time."""
    record = empty_checkout / "record"
    _script(
        bare_path / "python3.12",
        f"""case "$*" in
*"-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python; echo venv >> {record} ;;
*"pip install"*) echo install >> {record}; test -e {empty_checkout}/network ;;
*print*) echo 3.12 ;;
esac""",
    )
    for name in ("mkdir", "cp"):
        (bare_path / name).symlink_to(shutil.which(name) or "")
    first = _make_venv(empty_checkout, bare_path)
    assert first.returncode == 1
    assert "pip could not install" in first.stderr
    assert "what to do: check the network" in first.stderr
    (empty_checkout / "network").touch()
    assert _make_venv(empty_checkout, bare_path).returncode == 0
    done = record.read_text().split()
    assert done == [
        "venv",
        "install",
        "install",
        "install",
    ]  # failed; then the dependencies and the project itself
    assert _make_venv(empty_checkout, bare_path).returncode == 0
    assert record.read_text().split() == done
    (empty_checkout / "requirements.lock").write_text("another\n")
    assert _make_venv(empty_checkout, bare_path).returncode == 0
    assert record.read_text().split() == [*done, "install", "install"]


@pytest.mark.parametrize(("required", "code"), [("", 0), ("1", 1)])
def test_no_browser_and_no_way_to_install_one(
    tmp_path: Path, bare_path: Path, required: str, code: int
) -> None:
    script = str(SCRIPTS / "install_browser.sh")
    result = _run("/bin/sh", script, cwd=tmp_path, path=bare_path, MILLSTREAM_REQUIRE_BROWSER=required)
    assert result.returncode == code
    assert result.stderr == "no browser test: no chromium on the PATH, and no apt-get to install it with\n"


def test_a_browser_that_is_there_is_enough(tmp_path: Path, bare_path: Path) -> None:
    _script(bare_path / "chromium", "exit 1")
    result = _run("/bin/sh", str(SCRIPTS / "install_browser.sh"), cwd=tmp_path, path=bare_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_failed_package_manager_is_quoted(tmp_path: Path, bare_path: Path) -> None:
    _script(bare_path / "id", "echo 0")
    _script(bare_path / "apt-get", "echo 'E: no network' >&2; exit 100")
    result = _run("/bin/sh", str(SCRIPTS / "install_browser.sh"), cwd=tmp_path, path=bare_path)
    assert result.returncode == 0
    assert "no browser test: apt-get could not install chromium: E: no network" in result.stderr
