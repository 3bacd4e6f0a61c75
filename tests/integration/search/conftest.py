"""One history that has everything in it."""

from pathlib import Path

import pytest

from tests.integration.search.counting import (
    day,
)
from tests.support.repositories import (
    Executable,
    Moved,
    RepositoryBuilder,
    Submodule,
    Symlink,
)


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Merges, renames, deletions, modes, strange names, clock skew, odd contents, over 40 days."""
    builder = RepositoryBuilder(tmp_path_factory.mktemp("history") / "repo")
    builder.commit(
        day(1),
        {
            "a.py": "TODO one\nTODO two\n",
            "lib/b.go": "// TODO\nfoo\nbar\n",
            "copy/a.py": "TODO one\nTODO two\n",
            "run.sh": Executable(b"# TODO\n"),
            "link": Symlink(b"TODO"),
            "vendored": Submodule("1" * 40),
            "crlf.txt": b"TODO\r\nfoo\r\nbar TODO\r\n",
            "latin.txt": "TODO caf\xe9\n".encode("latin-1"),
            "utf8.txt": "TODO café\n",
            "na\udcefve-\udcff.py": "TODO\n",
            'quote"tab\t.py': "todo\n",
            "empty": "",
        },
    )
    side = builder.commit(day(3), {"a.py": "done\n"}, branch="side", parent=1)
    builder.commit(day(5), {"lib/c.go": Moved("lib/b.go"), "lib/d.py": "TODO TODO\nfoofoo foo\n"})
    builder.commit(
        day(7),
        {"binary": b"TODO\0", "late-nul": b"TODO " * 1601 + b"\0", "early-nul": b"a" * 7_999 + b"\0TODO"},
    )
    builder.commit(day(6.5), {"skew.txt": "TODO, committed with a clock that was behind\n"})
    builder.commit(day(10), {"a.py": "done\n"}, merges=[side])
    builder.commit(day(12), {"copy/a.py": None, "lib/d.py": "TODO\n"})
    builder.commit(day(14), {"lib/d.py": Executable(b"TODO\n"), "run.sh": Symlink(b"lib/d.py")})
    builder.commit(day(16), {"lib": None, "lib.txt": "todo todo\n"})
    builder.commit(
        day(18),
        {"fine": b"TODO" + b"x\n" * ((1 << 20) - 2), "large": b"TODO" + b"x\n" * ((1 << 20) - 2) + b"y"},
    )
    builder.commit(
        day(20),
        {
            "edge-": b"T" * (2 << 20),
            "edge": b"TODO" + b"T" * ((2 << 20) - 4),
            "edge+": b"TODO" + b"T" * ((2 << 20) - 3),
        },
    )
    return builder.build()
