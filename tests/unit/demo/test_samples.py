"""Sample repositories on disk: real git, real fast-import."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.demo import samples
from api.demo.sample_history import Sample
from api.demo.samples import SAMPLES, SampleFailed, make_samples, month_of
from infra.embedded.errors import MissingProgram

OCTOBER = datetime(2026, 10, 17, 12, 30, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 1, 0, 0, tzinfo=UTC)
OCTOBER_TIPS = {
    "sample/checkout": "5955b91fa7e49921ffd32090f1e9e7ac893fb604",
    "sample/catalog": "294c44e8df2c1c8967442967c810e50fad8d8d4f",
    "sample/payments": "63d29a4fa20af7e2bfdf45d81cd8fcae94cecf7a",
}


def git(path: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "--git-dir", str(path), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_same_month_gives_the_same_commits_on_every_machine(tmp_path: Path) -> None:
    made = make_samples(tmp_path / "a", OCTOBER)
    assert {sample.name: sample.tip for sample in made} == OCTOBER_TIPS
    assert all(sample.made for sample in made)


def test_users_git_configuration_and_environment_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text(
        "[init]\n\tdefaultBranch = other\n[user]\n\tname = Somebody\n[core]\n\tautocrlf = true\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    (made,) = make_samples(tmp_path / "samples", OCTOBER, SAMPLES[:1])
    assert made.tip == OCTOBER_TIPS[made.name]


def test_repository_is_bare_and_sound(tmp_path: Path) -> None:
    (made,) = make_samples(tmp_path, OCTOBER, SAMPLES[2:])
    assert git(made.path, "rev-parse", "--is-bare-repository") == "true"
    assert git(made.path, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert git(made.path, "fsck", "--strict", "--no-dangling") == ""
    assert made.path.stat().st_uid == os.geteuid()
    renamed = git(
        made.path, "log", "--diff-filter=R", "--find-renames=60%", "--format=", "--name-status", "main"
    )
    assert renamed.count("\n") > 10, "git sees renames"


def test_second_call_makes_nothing(tmp_path: Path) -> None:
    first = make_samples(tmp_path, OCTOBER, SAMPLES[:2])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    second = make_samples(tmp_path, OCTOBER.replace(day=31), SAMPLES[:2])
    assert [sample.made for sample in second] == [False, False]
    assert [sample.tip for sample in second] == [sample.tip for sample in first]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_next_month_has_a_new_history_and_keeps_the_recorded_one(tmp_path: Path) -> None:
    (october,) = make_samples(tmp_path, OCTOBER, SAMPLES[:1])
    (november,) = make_samples(tmp_path, NOVEMBER, SAMPLES[:1])
    assert november.made
    assert november.path == october.path
    assert november.tip != october.tip
    assert git(november.path, "rev-parse", "main") == november.tip
    assert git(november.path, "rev-parse", "refs/samples/v1/2026-10") == october.tip
    git(november.path, "gc", "--quiet", "--prune=now")
    assert git(november.path, "cat-file", "-t", october.tip) == "commit"


def test_failure_leaves_no_half_made_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = samples.fast_import_stream

    def cut_short(*arguments: object) -> bytes:
        return whole(*arguments)[:-2_000]  # type: ignore[arg-type]

    monkeypatch.setattr(samples, "fast_import_stream", cut_short)
    with pytest.raises(SampleFailed) as failure:
        make_samples(tmp_path, OCTOBER, SAMPLES[:1])
    assert "fast-import" in str(failure.value)
    assert failure.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_without_git_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgram) as failure:
        make_samples(tmp_path / "samples", OCTOBER)
    assert "install git" in failure.value.remedy


@pytest.mark.parametrize(
    "instant", [OCTOBER, datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC)]
)
def test_month_of(instant: datetime) -> None:
    assert month_of(instant) == datetime(2026, 10, 1, tzinfo=UTC)


def test_names_are_distinct() -> None:
    names = [sample.name for sample in SAMPLES]
    assert len(set(names)) == len(names)
    assert all(isinstance(sample, Sample) for sample in SAMPLES)
