"""Write ``kafka-jars.lock.toml`` anew: ``python -m infra.embedded.lock_jars [ENDPOINT]``, after raising a version.

jgo resolves the whole dependency tree and downloads it; what it found is written with sizes and checksums, for a person to review.
"""

import sys
import tempfile
import tomllib
from pathlib import Path

from infra.embedded.jars import LOCK_FILE, sha256_of


def lock_text(endpoint: str, entries: list[tuple[str, Path]]) -> str:
    """The lock file's text for (coordinate, jar) pairs in class path order."""
    lines = [
        "# Written by `python -m infra.embedded.lock_jars`. Coordinates, sizes and checksums only.",
        f'endpoint = "{endpoint}"',
    ]
    for coordinate, path in entries:
        lines += [
            "",
            "[[jars]]",
            f'coordinate = "{coordinate}"',
            f"size_bytes = {path.stat().st_size}",
            f'sha256 = "{sha256_of(path)}"',
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Resolve and write."""
    import jgo

    endpoint = (
        sys.argv[1] if len(sys.argv) > 1 else tomllib.loads(LOCK_FILE.read_text(encoding="utf-8"))["endpoint"]
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = jgo.build(endpoint, cache_dir=Path(folder))
        lock = tomllib.loads(environment.lock_path.read_text(encoding="utf-8"))
        coordinates = {
            f"{entry['artifactId']}-{entry['version']}.jar": f"{entry['groupId']}:{entry['artifactId']}:{entry['version']}"
            for entry in lock["dependencies"]
        }
        entries = [(coordinates[Path(jar).name], Path(jar)) for jar in environment.all_jars]
        LOCK_FILE.write_text(lock_text(endpoint, entries), encoding="utf-8")
    sys.stdout.write(f"{len(entries)} jars written to {LOCK_FILE}\n")


if __name__ == "__main__":
    main()
