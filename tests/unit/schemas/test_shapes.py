"""Classes that threads share are learnt while there is one thread."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from schemas.shapes import learn, learn_all

_RACE = """
import sys, threading, types
import msgspec
from schemas.shapes import learn

PARTS = "".join(
    f"class P{k}(msgspec.Struct):\\n"
    + "".join(f"    f{i}: typing.Annotated[int, msgspec.Meta(ge=0)] = 0\\n" for i in range(6))
    for k in range(6)
)
WHOLE = "class T(msgspec.Struct):\\n" + "".join(f"    p{k}: list[P{k}] = []\\n" for k in range(6))
sys.setswitchinterval(1e-6)
for number in range(40):
    module = sys.modules[f"m{number}"] = types.ModuleType(f"m{number}")
    exec("from __future__ import annotations\\nimport msgspec, typing\\n" + PARTS + WHOLE, module.__dict__)
    if sys.argv[1] == "learnt":
        assert learn(module.T)
    barrier = threading.Barrier(3)

    def decode():
        barrier.wait()
        found = msgspec.json.Decoder(module.T).decode(b'{"p0":[{"f1":1}],"p5":[{"f5":3}]}')
        assert found.p5[0].f5 == 3

    threads = [threading.Thread(target=decode) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_learnt_classes_are_decoded_by_threads_at_once(tmp_path: Path) -> None:
    script = tmp_path / "race.py"
    script.write_text(_RACE)
    command = [sys.executable, str(script), "learnt"]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(Path(__file__).parents[3])}, timeout=60, check=False
    )
    assert done.returncode == 0


class Readable(msgspec.Struct):
    number: int


class OnlyHere(msgspec.Struct):
    either: Readable | dict[str, int]


@pytest.mark.parametrize(("found", "said"), [(Readable, True), (OnlyHere, False)])
def test_what_cannot_come_from_json_is_passed_over(found: type[msgspec.Struct], said: bool) -> None:
    assert learn(found) is said


def test_every_class_that_is_there_is_learnt() -> None:
    assert learn_all() >= 1
