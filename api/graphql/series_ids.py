"""How a series is called in answers.

A series id is a hash of all that defines it, the listed repositories included: who knows it can try names of repositories against it. So
it is told only to who sees every repository of the list; others get a name of their own for it.
"""

from api.graphql.operation import Operation
from schemas.events import SeriesDefinition


def shown_series_id(operation: Operation, one: SeriesDefinition, capture: str | None = None) -> str:
    """The id of the series, or of its line for a captured value. It has the form of a series id in any case."""
    base = one.series_id if _sees_all(operation, one) else _opaque(operation, one)
    return base if capture is None else f"{base}-{capture}"


def _opaque(operation: Operation, one: SeriesDefinition) -> str:
    return f"s:{operation.services.opaque.of(operation.user.name, one.series_id)}"


def _sees_all(operation: Operation, one: SeriesDefinition) -> bool:
    if not one.repositories or operation.user.viewer is None:
        return True
    seen = {found.id for found in operation.reads.repositories.of(one.repositories)}
    return seen.issuperset(one.repositories) or (seen | operation.reads.removed).issuperset(one.repositories)
