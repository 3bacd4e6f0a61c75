"""What is new in real histories: ranges, force-pushes, deleted branches, empty and shallow repositories, and what matches in a diff."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streams.search.history.engine import FoundNew, HistoryEngine, NewIn
from streams.search.query import QueryError, parse_history
from tests.support.repositories import Content, Moved, RepositoryBuilder, git

_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


class History:
    """A bare repository that grows by commits, one a minute."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        git(path, "init", "-q", "--bare", "--initial-branch=main")
        self._minutes = 0

    def commit(
        self,
        files: dict[str, bytes | None],
        *,
        on: str = "main",
        parents: list[str] | None = None,
        message: str = "change",
        author: str = "Ada <ada@example.com>",
    ) -> str:
        self._minutes += 1
        seconds = int((_AT + timedelta(minutes=self._minutes)).timestamp())
        if parents is None:
            tip = self.tip(on)
            parents = [] if tip is None else [tip]
        stream = bytearray(f"commit refs/heads/{on}\nauthor {author} {seconds} +0000\n".encode())
        stream += f"committer Ada <ada@example.com> {seconds} +0000\n".encode()
        stream += f"data {len(message.encode())}\n{message}\n".encode()
        for number, parent in enumerate(parents):
            stream += f"{'from' if number == 0 else 'merge'} {parent}\n".encode()
        for name, content in files.items():
            if content is None:
                stream += f"D {name}\n".encode()
            else:
                stream += f"M 100644 inline {name}\ndata {len(content)}\n".encode() + content + b"\n"
        git(self.path, "fast-import", "--quiet", "--force", stdin=bytes(stream))
        tip = self.tip(on)
        assert tip is not None
        return tip

    def tip(self, branch: str) -> str | None:
        found = git(self.path, "rev-parse", "-q", "--verify", f"refs/heads/{branch}", may_fail=True)
        return found.decode().strip() or None

    def find(self, query: str, searched: tuple[str, ...] | None) -> FoundNew:
        return HistoryEngine(self.path, None).find([NewIn(query=parse_history(query), searched=searched)])[0]


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "app.git")


def commits(found: FoundNew) -> list[str]:
    return [one.commit for one in found.matches]


def test_new_is_what_no_searched_tip_reaches(history: History) -> None:
    first = history.commit({"a.txt": b"TODO one\n"})
    second = history.commit({"a.txt": b"TODO one\nTODO two\n"})
    third = history.commit({"b.txt": b"nothing\n"})
    found = history.find("type:diff TODO", (first,))
    assert (commits(found), found.tips) == ([second], (third,))
    assert history.find("type:diff TODO", found.tips) == FoundNew(tips=(third,))


def test_a_root_is_compared_with_nothing_and_a_merge_has_no_diff_of_its_own(history: History) -> None:
    root = history.commit({"a.txt": b"TODO\n"})
    side = history.commit({"b.txt": b"TODO\n"}, on="side", parents=[root])
    merge = history.commit({"b.txt": b"TODO\n"}, parents=[root, side], message="TODO merged")
    found = history.find("type:diff TODO", ())
    assert set(commits(found)) == {root, side}
    assert commits(history.find("type:commit TODO", ())) == [merge], "a merge has a message"


def test_without_a_position_the_present_is_taken_and_nothing_searched(history: History) -> None:
    tip = history.commit({"a.txt": b"TODO\n"})
    assert history.find("type:diff TODO", None) == FoundNew(tips=(tip,))


def test_what_a_force_push_took_away_is_not_told_twice_when_it_comes_back(history: History) -> None:
    base = history.commit({"a.txt": b"x\n"})
    gone = history.commit({"a.txt": b"x\nTODO old\n"})
    other = history.commit({"a.txt": b"x\nTODO new\n"}, parents=[base])
    forced = history.find("type:diff TODO", (gone,))
    assert commits(forced) == [other]
    assert set(forced.tips) == {gone, other}
    git(history.path, "update-ref", "refs/heads/main", gone)
    assert commits(history.find("type:diff TODO", forced.tips)) == []


def test_tips_that_are_there_no_more_are_left_out_with_a_warning(history: History) -> None:
    first = history.commit({"a.txt": b"x\n"})
    second = history.commit({"a.txt": b"TODO\n"})
    found = history.find("type:diff TODO", (first, "0" * 40))
    assert commits(found) == [second]
    assert len(found.warnings) == 1
    lost = history.find("type:diff TODO", ("0" * 40,))
    assert (commits(lost), lost.tips) == ([], (second,)), "it begins at the present, not at the beginning"
    assert "begins at the present" in lost.warnings[0]


def test_a_deleted_branch_is_a_warning_and_stays_searched(history: History) -> None:
    base = history.commit({"a.txt": b"x\n"})
    side = history.commit({"a.txt": b"TODO\n"}, on="side", parents=[base])
    query = "type:diff rev:main:side TODO"
    begun = history.find(query, (base,))
    assert commits(begun) == [side]
    git(history.path, "update-ref", "-d", "refs/heads/side")
    next_tip = history.commit({"b.txt": b"TODO\n"})
    found = history.find(query, begun.tips)
    assert commits(found) == [next_tip]
    assert found.warnings == ("WARNING: there is no revision side",)
    git(history.path, "update-ref", "refs/heads/side", side)
    assert commits(history.find(query, found.tips)) == []


def test_an_empty_repository_has_nothing_and_its_first_commits_are_new(history: History) -> None:
    assert history.find("type:diff TODO", ()) == FoundNew(tips=())
    first = history.commit({"a.txt": b"TODO\n"})
    assert commits(history.find("type:diff TODO", ())) == [first]


def test_where_a_shallow_clone_ends_is_no_new_code(history: History, tmp_path: Path) -> None:
    for number in range(3):
        history.commit({"a.txt": b"TODO\n" * (number + 1)})
    clone = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--bare", "--depth=2", f"file://{history.path}", str(clone))
    engine = HistoryEngine(clone, None)
    found = engine.find([NewIn(query=parse_history("type:diff TODO"), searched=())])[0]
    assert commits(found) == [history.tip("main")]
    assert "shallow" in found.warnings[0]


def test_one_read_serves_many_queries_with_one_range(history: History) -> None:
    first = history.commit({"a.txt": b"x\n"})
    history.commit({"a.txt": b"x\nTODO\n", "b.txt": b"FIXME\n"})
    asked = [
        NewIn(query=parse_history(f"type:diff {word}"), searched=(first,)) for word in ("TODO", "FIXME", "no")
    ]
    assert [one.count for one in HistoryEngine(history.path, None).find(asked)] == [1, 1, 0]


_DIFF = [
    ("type:diff needle", True, "of both sides"),
    ("type:diff select:commit.diff.added needle", False, "only removed"),
    ("type:diff select:commit.diff.removed needle", True, "removed"),
    ("type:diff select:commit.diff.added haystack", True, "added"),
    ("type:diff kept", False, "a line of context is no change"),
    ("type:diff file:txt$ needle", True, "of the file"),
    ("type:diff -file:txt$ needle", False, "not of this file"),
    ("type:diff file:other needle", False, "AND is per changed file"),
    ("type:diff needle AND haystack", True, "both in one file"),
    ("type:diff needle OR nothing", True, "any"),
    ("type:diff haystack NOT needle", False, "NOT is per changed file"),
    ("type:diff other NOT needle", True, "which another file does not hold"),
    ("type:diff NEEDLE", True, "case does not matter"),
    ("type:diff case:yes NEEDLE", False, "unless it does"),
    ("type:diff author:ada needle", True, "author"),
    ("type:diff author:ada@example -author:bob needle", True, "name and mail"),
    ("type:diff -author:ada needle", False, "another author"),
    ("type:diff message:^second needle", True, "message"),
    ("type:diff patternType:regexp ne+dle$", True, "regular expression"),
    ("type:diff patternType:regexp needle\\shaystack", False, "never across lines"),
    ("type:diff file:(txt|md)$", True, "without a pattern"),
    ("type:commit needle", False, "the message alone"),
    ("type:commit second", True, "message"),
    ("type:commit file:txt$ second", True, "touches the file"),
    ("type:commit file:go$ second", False, "does not touch it"),
]


@pytest.mark.parametrize(("query", "matches", "why"), _DIFF, ids=[one[0] for one in _DIFF])
def test_what_matches(history: History, query: str, matches: bool, why: str) -> None:
    first = history.commit({"a.txt": b"kept\nneedle\nend\n", "other.md": b"1\n"})
    history.commit({"a.txt": b"kept\nhaystack\nend\n", "other.md": b"other\n"}, message="second\n\nbody")
    assert bool(history.find(query, (first,)).count) is matches, why


def test_the_compact_diff_and_its_ranges(history: History) -> None:
    before = "".join(f"line {number}\n" for number in range(1, 40))
    first = history.commit({"dir/käse file.txt": before.encode()})
    after = before.replace("line 5\n", "über TODO und TODO\n").replace("line 30\n", "nothing\n")
    second = history.commit({"dir/käse file.txt": after.encode()})
    (match,) = history.find("type:diff TODO", (first,)).matches
    assert match.commit == second
    assert match.text == (
        "dir/käse\\ file.txt dir/käse\\ file.txt\n@@ -5,2 +5,2 @@ line 3\n-line 5\n+über TODO und TODO\n line 6\n"
    )
    assert [match.text[start:end] for start, end in match.ranges] == ["TODO", "TODO"]
    assert (match.paths, match.matches) == (["dir/käse file.txt"], 2)


def test_renames_new_and_deleted_files_binaries_and_odd_bytes(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path / "odd.git")
    text = "".join(f"needle {number}\n" for number in range(30))
    changes: list[dict[str, Content]] = [
        {"old.txt": text, "gone.txt": "needle\n", "bin": b"\0needle\n"},
        {"new name.txt": Moved("old.txt")},
        {"gone.txt": None, "bin": b"\0needle needle\n"},
        {"latin.txt": b"needle \xe9\n", 'quo"te\t.txt': "needle\n"},
    ]
    for number, one in enumerate(changes):
        builder.commit(_AT + timedelta(minutes=number), one)
    path = builder.build()
    root = git(path, "rev-list", "--max-parents=0", "main").decode().strip()
    found = HistoryEngine(path, None).find(
        [
            NewIn(query=parse_history("type:diff needle"), searched=(root,)),
            NewIn(query=parse_history("type:diff file:^bin$"), searched=(root,)),
        ]
    )
    latin, gone = found[0].matches
    assert latin.paths == ["latin.txt", 'quo"te\t.txt']
    assert "needle é" in latin.text
    assert gone.paths == ["gone.txt"]
    assert gone.text.startswith("gone.txt /dev/null\n@@ -1,1 +0,0 @@\n-needle\n")
    assert all(one.text[start:end] == "needle" for one in found[0].matches for start, end in one.ranges)
    assert found[1].count == 1, "a binary file has a path, and no lines"


_REFUSED = [
    ("TODO", "type:diff or type:commit", 0),
    ("type:file TODO", "neither diff nor commit", 5),
    ("type:diff type:commit x", "cannot be combined", 10),
    ("type:diff lang:go x", "lang: cannot be used", 10),
    ("type:diff before:yesterday x", "before: cannot be used", 10),
    ("type:diff count:3 x", "count: cannot be used", 10),
    ("type:diff repo:a@b x", "give them as rev:", 16),
    ("type:diff rev:a..b x", "no name of a branch", 14),
    ("type:diff rev:*feature x", "no name of a branch", 14),
    ("type:commit select:commit.diff.added x", "needs type:diff", 12),
    ("type:diff select:repo x", "neither commit.diff.added", 17),
    ("type:diff author:[ x", "regular expression", 17),
    ("type:diff (a or rev:b)", "whole query", 16),
    ("type:diff (repo:a x or b)", "repo: chooses", 11),
]


@pytest.mark.parametrize(("query", "reason", "position"), _REFUSED, ids=[one[0] for one in _REFUSED])
def test_what_is_refused_and_where(query: str, reason: str, position: int | None) -> None:
    with pytest.raises(QueryError) as caught:
        parse_history(query)
    assert reason in caught.value.reason
    assert position is None or caught.value.position == position
