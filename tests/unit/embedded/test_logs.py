"""Log files: their last lines, new lines as they come, and their size."""

from pathlib import Path

import pytest

from infra.embedded.logs import follow, rotate_if_large, tail


@pytest.mark.parametrize(("lines", "expected"), [(0, []), (1, ["c"]), (2, ["b", "c"]), (9, ["a", "b", "c"])])
def test_tail(tmp_path: Path, lines: int, expected: list[str]) -> None:
    path = tmp_path / "x.log"
    path.write_text("a\nb\nc\n")
    assert tail(path, lines) == expected


def test_tail_reads_across_chunks_and_survives_any_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"".join(b"%06d %s\n" % (number, b"\xff" * 200) for number in range(2_000)))
    found = tail(path, 700)
    assert [line[:6] for line in found] == [f"{number:06d}" for number in range(1_300, 2_000)]


def test_tail_of_nothing(tmp_path: Path) -> None:
    assert tail(tmp_path / "none.log", 5) == []


def test_a_large_log_is_cut_while_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"old\n" * 100)
        assert rotate_if_large(path, limit_bytes=399)
        writer.write(b"new\n")
    assert path.read_bytes() == b"new\n"
    assert (tmp_path / "x.log.1").read_bytes() == b"old\n" * 100
    assert not rotate_if_large(path, limit_bytes=399)
    assert not rotate_if_large(tmp_path / "none.log")


def test_follow_sees_new_lines_new_files_and_rotation(tmp_path: Path) -> None:
    first, second = tmp_path / "a.log", tmp_path / "b.log"
    first.write_text("before\n")
    steps = iter(
        [(first, "a", "one\ntw"), (first, "a", "o\n"), (second, "w", "hello\n"), (first, "w", "x\n")]
    )
    looks_left = 2

    def step() -> bool:
        """Called between two looks: writes what comes next, and ends soon after nothing does."""
        nonlocal looks_left
        for path, mode, text in steps:
            with path.open(mode) as file:
                file.write(text)
            return False
        looks_left -= 1
        return looks_left < 0

    found = [(path.name, line) for path, line in follow([first, second], stop=step, poll_s=0)]
    assert found == [("a.log", "one"), ("a.log", "two"), ("b.log", "hello"), ("a.log", "x")]
