"""The demo from start to end: up, repositories, insight, its past, the result, and how to go on."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console

from api.auth.login_links import make_login_link
from api.auth.tokens import admin_token
from api.cli.client import Client
from api.cli.query_hints import blanks_note
from api.cli.rendering import chart_table
from api.demo import questions, scenes
from api.demo.chain import read_chain
from api.demo.choices import Choice, from_text, inspect, standing_in
from api.demo.definition import FRAMES, InsightWish, check_query, migration, of_own_code
from api.demo.figures import Figures, Times, collect
from api.demo.following import DemoFailed, follow, register, wait_for_clones
from api.demo.memory import as_before, remember
from api.demo.oracle import Witness
from api.demo.samples import make_samples
from api.demo.summary import lines_of, told
from api.demo.system import Report, System, running
from infra.embedded.errors import naming_disk_full
from infra.embedded.machine import require_git
from infra.embedded.signals import StopRequested
from infra.kafka.admin import KafkaAdmin
from infra.settings import load_settings
from schemas.errors import MillstreamError


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for. ``repositories`` and ``query`` empty: the samples and their migration."""

    repositories: str
    query: str
    folder: Path
    exit_at_end: bool
    json_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was shown; ``problem`` says why it is not good, though it could be shown."""

    figures: Figures
    problem: MillstreamError | None


def run(wanted: Wanted, console: Console) -> Outcome:
    """Run the demo; stays until interrupted unless ``exit_at_end``.

    Raises:
        schemas.errors.MillstreamError: with the remedy in one line.
        infra.embedded.signals.StopRequested: it was interrupted before the end.
    """

    def report(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    require_git()
    check_query(wanted.query.strip())
    if note := blanks_note(wanted.query):
        report(note)
    settings = load_settings()
    now = datetime.now(UTC)
    own = from_text(wanted.repositories, folder=wanted.folder) if wanted.repositories.strip() else None
    with ThreadPoolExecutor(1, thread_name_prefix="samples") as pool, naming_disk_full(settings.home):
        # The samples are made while the servers start.
        choice = pool.submit(lambda: own or _default_choice(settings.home, wanted.folder, now))
        with running(settings, report, send_to_loopback=own is None) as system:
            outcome = _on(system, choice.result(), wanted, now, console, report)
            if outcome.problem is not None:
                report(f"error: {outcome.problem}\nwhat to do: {outcome.problem.remedy}")
            if not wanted.exit_at_end:
                _stay(system, report)
            return outcome


def _default_choice(home: Path, folder: Path, now: datetime) -> Choice:
    """The samples, and the repository that the demo stands in."""
    samples = tuple(inspect(sample.path, name=sample.name) for sample in make_samples(home / "samples", now))
    here = standing_in(folder, now)
    return Choice((*samples, *here.repositories), here.left_out)


def _on(
    system: System, choice: Choice, wanted: Wanted, now: datetime, console: Console, report: Report
) -> Outcome:
    """Everything that happens on a running system."""
    began = time.monotonic()
    home = system.settings.home
    with (
        Client(system.base_url, admin_token(home)) as client,
        KafkaAdmin(system.settings, client_id="millstream-demo") as admin,
    ):
        added = register(client, choice.repositories)
        known = len(choice.repositories) - added
        report(f"Repositories: {added} registered" + (f", {known} known already" if known else ""))
        for line in choice.left_out:
            report(f"  ({line})")
        paths = wait_for_clones(client, system, choice.repositories, report)
        wish = as_before(home, _wish(choice, wanted, paths, now))
        asked_s = time.monotonic()
        view = client.ask(
            questions.CREATE_INSIGHT,
            questions.create_insight_variables(wish),
            questions.CreateInsightAnswer,
            idempotency_key=wish.idempotency_key,
        ).created.view
        remember(home, wish)
        new = view.created_at >= now
        report(f"Insight “{wish.title}”: {'created' if new else 'found again'} at {view.position}")
        expected = FRAMES * len(wish.series) * len(wish.repositories)
        lag = follow(client, admin, system, view.id, asked_s if new else None, expected, console, report)
        found = client.ask(
            questions.INSIGHT, {"id": view.id}, questions.InsightViewsAnswer
        ).insight_views.nodes[0]
        chain = read_chain(system.settings, int(found.database_id))
        page = f"{system.base_url}/insights/{found.database_id}"
        times = Times(download_s=system.download_s, start_s=system.start_s, work_s=0.0)
        figures, witness = collect(found, chain, wish, new=new, paths=paths, lag=lag, page=page, times=times)
        console.print(chart_table(figures.title, lines_of(figures)))
        present = scenes.show_present(client, system, choice, view.id, report)
    times = msgspec.structs.replace(times, work_s=time.monotonic() - began)
    figures = msgspec.structs.replace(figures, times=times, present=present)
    # What was joined goes on after --exit, and so does its page.
    link = None if wanted.exit_at_end and not system.joined else make_login_link(home, page)
    for line in told(
        figures, witness, login_link=link, home=home, own_code=bool(wanted.repositories.strip())
    ):
        report(line)
    if wanted.json_file is not None:
        wanted.json_file.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
    return Outcome(figures, _problem(figures, witness))


def _wish(choice: Choice, wanted: Wanted, paths: Mapping[str, Path], now: datetime) -> InsightWish:
    if not wanted.repositories.strip() and not wanted.query.strip():
        return migration(choice.repositories)
    read = [
        repository
        if repository.oldest is not None
        else replace(repository, oldest=inspect(paths[repository.name]).oldest)
        for repository in choice.repositories
    ]
    return of_own_code(read, wanted.query.strip(), now)


def _problem(figures: Figures, witness: Witness) -> MillstreamError | None:
    if figures.failures or figures.cells_failed:
        return DemoFailed(
            f"{figures.cells_failed} cells could not be counted", remedy="see millstream logs worker"
        )
    if figures.cells_done != figures.cells:
        return DemoFailed(
            f"only {figures.cells_done} of {figures.cells} cells were counted",
            remedy="see millstream logs worker",
        )
    if witness.differences:
        return DemoFailed(
            f"git grep counts something else in {len(witness.differences)} cells",
            remedy="the lines above name them; docs/counting.md says where git grep differs by design",
        )
    return None if figures.present is None else scenes.problem_of(figures.present)


def _stay(system: System, report: Report) -> None:
    """Until Ctrl-C. Raises when a process has ended for good."""
    report(
        "\nCtrl-C ends this view; what was joined goes on."
        if system.joined
        else "\nCtrl-C stops every process."
    )
    try:
        while True:
            system.wait(1.0)
    except StopRequested:
        report("Stopping" if not system.joined else "")
