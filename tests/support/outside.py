"""What Kafka's own tool says of a consumer group: ``kafka-consumer-groups --describe``, run with our Java and our jars.

The one jar that the broker does not need is fetched as the broker's are: by its coordinate, checked by its SHA-256, kept in the cache.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from infra.embedded.errors import StackError
from infra.embedded.jars import Jar, cache_folder, ensure_jars, fetch_with_jgo, is_verified
from infra.embedded.java import find_java

TOOLS: Final = Jar(
    group="org.apache.kafka",
    artifact="kafka-tools",
    version="4.3.1",  # none was published with 4.4.0; it runs with that one's clients
    size_bytes=698_668,
    sha256="62f3c5dd7aa3442d4c5bc6a95f86e2502178ea09de8e27f74d9563bf955e253c",
)
_COMMAND: Final = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"


class Unavailable(Exception):
    """The tool could not be had."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One partition, as the tool prints it."""

    next_offset: int
    end: int
    lag: int


def tools_jar() -> Path:
    """The jar, fetched if need be. Raises Unavailable."""
    place = cache_folder() / TOOLS.file_name
    if is_verified(place, TOOLS):
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
        try:
            fetched = fetch_with_jgo(TOOLS, Path(scratch))
        except (OSError, RuntimeError) as error:
            raise Unavailable(f"{TOOLS.coordinate} could not be had: {error}") from error
        if not is_verified(fetched, TOOLS):
            raise Unavailable(f"{TOOLS.coordinate} is not what it has to be")
        shutil.move(fetched, place)
    return place


def describe(bootstrap: str, group: str) -> dict[tuple[str, int], Told]:
    """What the tool says of every partition with a committed offset. Raises Unavailable."""
    try:
        jars = [tools_jar(), *ensure_jars(lambda line: None).paths]
        java = find_java().path
    except StackError as error:
        raise Unavailable(str(error)) from error
    done = subprocess.run(
        [
            str(java),
            "-Xmx128m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
            "-cp",
            ":".join(map(str, jars)),
            _COMMAND,
            *("--bootstrap-server", bootstrap, "--describe", "--group", group),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found: dict[tuple[str, int], Told] = {}
    for line in done.stdout.splitlines():
        words = line.split()
        if len(words) > 5 and words[0] == group and words[2].isdigit() and words[3].isdigit():
            found[words[1], int(words[2])] = Told(
                next_offset=int(words[3]), end=int(words[4]), lag=int(words[5])
            )
    if done.returncode != 0 or not found:
        raise RuntimeError(f"the tool ended with {done.returncode}: {done.stdout}{done.stderr}")
    return found
