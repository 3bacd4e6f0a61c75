"""A demo that stays until Ctrl-C: what is seen while it stays, and what it printed in all."""

import re
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import psutil

from api.demo.figures import Figures
from tests.integration.demo.running import TIMEOUT_S, Run, command, environment, last_words

STAYS = "Ctrl-C stops every process"


@dataclass(frozen=True, slots=True)
class Stayed:
    """What a browser and a look at the processes saw. ``allowed``: the hosts that each program may deliver to."""

    allowed: Mapping[str, str | None]
    page_path: str
    without_login: httpx.Response
    welcome: httpx.Response
    page: httpx.Response
    by_the_used_link: httpx.Response


def stay_and_interrupt(home: Path, folder: Path) -> tuple[Run, Stayed]:
    """Run the demo in ``folder``, look at it once it stays, and press Ctrl-C."""
    json_file = folder / "figures.json"
    json_file.unlink(missing_ok=True)
    demo = subprocess.Popen(
        command("--json", str(json_file)),
        cwd=folder,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert demo.stdout is not None
        seen: list[str] = []
        for line in demo.stdout:
            seen.append(line)
            if STAYS in line:
                break
        text = "".join(seen)
        assert demo.poll() is None, text
        stayed = _look(demo.pid, text)
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=TIMEOUT_S)
    finally:
        if demo.poll() is None:
            demo.terminate()
            demo.wait(timeout=60)
    figures = msgspec.json.decode(json_file.read_bytes(), type=Figures) if json_file.exists() else None
    return Run(demo.returncode, text + rest, "", figures, last_words(home)), stayed


def _look(pid: int, text: str) -> Stayed:
    allowed = {
        child.cmdline()[-1]: child.environ().get("MILLSTREAM_ACTION_ALLOWED_HOSTS")
        for child in psutil.Process(pid).children(recursive=True)
        if "api.cli.main" in child.cmdline()
    }
    link = re.search(r"http://127\.0\.0\.1:\d+/login\?\S+", text)
    page = re.search(r"page +(http://\S+)", text)
    assert link is not None, text
    assert page is not None, text
    with httpx.Client(follow_redirects=True, trust_env=False) as browser:
        without_login = browser.get(page[1])
        welcome, shown = browser.get(link[0]), browser.get(page[1])
    with httpx.Client(follow_redirects=True, trust_env=False) as other:
        other.get(link[0])
        again = other.get(page[1])
    return Stayed(allowed, httpx.URL(page[1]).path, without_login, welcome, shown, again)
