"""A whole running Millstream for tests: ``millstream up`` as a child process, asked as any program asks it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final, TypeVar

import httpx

from api.auth.tokens import admin_token
from infra.embedded.home import Home
from infra.embedded.ports import LOOPBACK, choose_port, remembered_ports
from infra.embedded.services import answers
from infra.settings import Settings, load_settings
from tests.stack import new_home
from tests.support.spawning import millstream

_START_S: Final = 90.0
_STOP_S: Final = 40.0
_POLL_S: Final = 0.05
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunningSystem:
    """Kafka, PostgreSQL, projector, worker and API of one home."""

    home: Path
    url: str
    process: subprocess.Popen[bytes]
    environ: Mapping[str, str]

    def settings(self) -> Settings:
        """Settings of this home; call it with ``MILLSTREAM_HOME`` unchanged by the test."""
        before = os.environ.get("MILLSTREAM_HOME")
        os.environ["MILLSTREAM_HOME"] = str(self.home)
        try:
            return load_settings()
        finally:
            if before is None:
                del os.environ["MILLSTREAM_HOME"]
            else:
                os.environ["MILLSTREAM_HOME"] = before

    def cli(
        self, *arguments: str, stdin: bytes | None = None, expect: int = 0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run ``millstream ARGUMENTS``; its exit code has to be ``expect``."""
        done = millstream(*arguments, environ=self.environ, stdin=stdin or b"")
        if done.returncode != expect:
            raise AssertionError(
                f"millstream {' '.join(arguments)} ended with {done.returncode}, not {expect}:\n"
                f"{done.stdout.decode()}\n{done.stderr.decode()}"
            )
        return done

    def client(self) -> httpx.Client:
        """A client with the admin's token."""
        headers = {"Authorization": f"token {admin_token(self.home)}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30.0, trust_env=False)

    def graphql(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The ``data`` of one operation; an error of the API fails the test."""
        with self.client() as client:
            answer = client.post(
                "/.api/graphql",
                json={"query": query, "variables": dict(variables or {})},
                headers=dict(headers or {}),
            )
        body = answer.json()
        if body.get("errors"):
            raise AssertionError(f"the API refused: {body['errors']}")
        return body["data"]


@contextmanager
def running_system(extra_environ: Mapping[str, str] | None = None) -> Iterator[RunningSystem]:
    """``millstream up`` in a new home, gone afterwards."""
    home = new_home()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}
    environ = {**kept, "MILLSTREAM_HOME": str(home), **(extra_environ or {})}
    # Any free one: two systems that start at once would both take the preferred one.
    choose_port(Home(home), "page")
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "api.cli.main", "up"],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )

        def ready() -> str | None:
            if process.poll() is not None:
                output.seek(0)
                raise AssertionError(
                    f"millstream up ended with {process.returncode}: {output.read().decode()}"
                )
            port = remembered_ports(Home(home)).get("page") if home.is_dir() else None
            return f"http://{LOOPBACK}:{port}" if port is not None and answers(port) else None

        try:
            url = eventually(ready, "millstream up to answer", timeout_s=_START_S)
            yield RunningSystem(home, url, process, environ)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            finally:
                process.kill()
                process.wait()
                shutil.rmtree(home, ignore_errors=True)


def eventually(
    condition: Callable[[], T | None], what: str, *, timeout_s: float = 30.0, poll_s: float = _POLL_S
) -> T:
    """The first truthy answer of ``condition``; fails the test, naming ``what``, after ``timeout_s``."""
    deadline = monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        if monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:.0f} s in vain for {what}; last answer: {found!r}")
        sleep(poll_s)


def lines(done: subprocess.CompletedProcess[bytes]) -> Sequence[str]:
    """What a command printed on standard output."""
    return done.stdout.decode().splitlines()
