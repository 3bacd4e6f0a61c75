"""The form of a new insight: as typed, as GraphQL input, and with errors put where they belong."""

import re
import secrets
from collections.abc import Mapping, Sequence

import msgspec
from starlette.datastructures import FormData

from api.web.asking import GraphQLError
from api.web.fields import FieldError, Problem
from api.web.palette import PALETTE

MAX_SERIES = 50
FRAMES = 12
_REGEXP = "patternType:regexp "
_SERIES_FIELD = re.compile(r"(?:input\.)?dataSeries\[(\d+)\](?:\.(.+))?\Z")


class SeriesRow(msgspec.Struct):
    """One series as typed."""

    query: str = ""
    label: str = ""
    pattern: str = "literal"
    colour: str = ""
    query_errors: list[FieldError] = []
    query_notices: list[str] = []
    label_errors: list[FieldError] = []


class InsightForm(msgspec.Struct):
    """All fields as typed. ``key`` makes a repeated submit the same insight (``Idempotency-Key``)."""

    key: str
    title: str = ""
    series: list[SeriesRow] = []
    scope: str = "all"
    criteria: str = ""
    repositories: list[str] = []
    value: str = "1"
    unit: str = "MONTH"
    criteria_count: int | None = None
    title_errors: list[FieldError] = []
    criteria_errors: list[FieldError] = []
    repositories_errors: list[FieldError] = []
    value_errors: list[FieldError] = []
    problems: list[Problem] = []

    def refuse(self, field: str, error: FieldError) -> None:
        """Puts an error at the input with the id ``field`` (empty: at the form as a whole)."""
        name, _, index = field.partition("-")
        places: dict[str, list[FieldError]] = {
            "title": self.title_errors,
            "criteria": self.criteria_errors,
            "repositories": self.repositories_errors,
            "value": self.value_errors,
        }
        if index:
            row = self.series[int(index)]
            places |= {"query": row.query_errors, "label": row.label_errors}
        if name in places:
            places[name].append(error)
        self.problems.append(Problem(error.message, field if name in places else ""))


def blank_row(taken: Sequence[str] = ()) -> SeriesRow:
    """A row to be filled, in the first colour that is not ``taken``."""
    colours = [value for value, _ in PALETTE]
    return SeriesRow(colour=next((value for value in colours if value not in taken), colours[0]))


def blank_form() -> InsightForm:
    """The form before anything is typed."""
    return InsightForm(key=secrets.token_urlsafe(16), series=[blank_row()])


def read_form(sent: FormData) -> InsightForm:
    """What was sent; rows in the order of their numbers, at most ``MAX_SERIES``."""

    def text(name: str, otherwise: str = "") -> str:
        value = sent.get(name, otherwise)
        return value if isinstance(value, str) else otherwise

    numbers = sorted({int(name[6:]) for name in sent if re.fullmatch(r"query-\d{1,4}", name)})[:MAX_SERIES]
    rows = [
        SeriesRow(
            query=text(f"query-{n}").strip(),
            label=text(f"label-{n}").strip(),
            pattern=text(f"pattern-{n}", "literal"),
            colour=text(f"colour-{n}"),
        )
        for n in numbers
    ]
    return InsightForm(
        key=text("key") or secrets.token_urlsafe(16),
        title=text("title").strip(),
        series=rows or [blank_row()],
        scope=text("scope", "all"),
        criteria=text("criteria").strip(),
        repositories=[value for value in sent.getlist("repository") if isinstance(value, str)],
        value=text("value").strip(),
        unit=text("unit", "MONTH"),
    )


def with_pattern(query: str, pattern: str) -> str:
    """The query as the schema takes it: how patterns are read is said in the text."""
    return _REGEXP + query if pattern == "regexp" and "patterntype:" not in query.lower() else query


def place_in_typed(query: str, pattern: str, position: int, length: int) -> tuple[int, int]:
    """A place in ``with_pattern(query, pattern)`` as (position, length) in ``query`` itself."""
    shift = len(with_pattern(query, pattern)) - len(query)
    start = min(max(position - shift, 0), len(query))
    return start, max(1, min(length, len(query) - start)) if length else 0


def check(form: InsightForm) -> None:
    """What needs no server: empty fields, numbers."""
    if not form.title:
        form.refuse("title", FieldError("Give it a title."))
    for number, row in enumerate(form.series):
        if not row.query:
            form.refuse(f"query-{number}", FieldError("Say what to search for."))
    if form.scope == "criteria" and not form.criteria:
        form.refuse("criteria", FieldError("Say which repositories, for example repo:payments."))
    if form.scope == "list" and not form.repositories:
        form.refuse("repositories", FieldError("Choose at least one repository."))
    if not (form.value.isascii() and form.value.isdigit() and 1 <= int(form.value) <= 1000):
        form.refuse("value", FieldError("A whole number from 1 to 1000 is needed."))


def graphql_input(form: InsightForm) -> dict[str, object]:
    """``LineChartSearchInsightInput`` of a form that ``check`` found nothing in."""
    whole: dict[str, object] = {
        "options": {"title": form.title},
        "dataSeries": [
            {
                "query": with_pattern(row.query, row.pattern),
                "options": {"label": row.label or row.query, "lineColor": row.colour or None},
            }
            for row in form.series
        ],
        "timeScope": {"stepInterval": {"unit": form.unit, "value": int(form.value)}},
        "frames": FRAMES,
    }
    return {**whole, "repositoryScope": graphql_scope(form)}


def graphql_scope(form: InsightForm) -> dict[str, object]:
    """``RepositoryScopeInput`` of a form."""
    scope: dict[str, object] = {"repositories": form.repositories if form.scope == "list" else []}
    if form.scope == "criteria":
        scope["repositoryCriteria"] = form.criteria
    return scope


def refuse_as_answered(form: InsightForm, errors: Sequence[GraphQLError]) -> None:
    """Puts the errors of the mutation at the fields that their ``extensions.field`` names."""
    for error in errors:
        path = str(error.extensions.get("field", ""))
        field = _field_of(path, len(form.series))
        remedy = str(error.extensions.get("remedy", ""))
        message = f"{error.message} {remedy}".strip()
        name, _, index = field.partition("-")
        if name == "query":
            row = form.series[int(index)]
            form.refuse(field, query_error(message, row.query, row.pattern, error.extensions))
        else:
            form.refuse(field, FieldError(message))


def query_error(message: str, query: str, pattern: str, place: Mapping[str, object]) -> FieldError:
    """An error of a query; ``place`` may hold ``position`` and ``length`` in the query as sent."""
    position, length = place.get("position"), place.get("length")
    if not isinstance(position, int):
        return FieldError(message)
    start, reach = place_in_typed(query, pattern, position, length if isinstance(length, int) else 1)
    return FieldError(message, query, start, reach)


def _field_of(path: str, series: int) -> str:
    """The id of the input for a path in the mutation's input, or empty."""
    found = _SERIES_FIELD.match(path)
    if found and int(found.group(1)) < series:
        inner = found.group(2) or "query"
        return f"{'label' if 'label' in inner else 'query'}-{found.group(1)}"
    endings = {
        "title": "title",
        "repositoryCriteria": "criteria",
        "repositories": "repositories",
        "value": "value",
    }
    return endings.get(path.rpartition(".")[2], "")
