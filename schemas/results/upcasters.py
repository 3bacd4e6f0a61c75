"""From one version of a result to the next: pure, on plain values."""

from schemas.registry import Body


def search_completed_1_to_2(body: Body) -> Body:
    """Commits stood beside every entry; now each stands once in a table of the event, and entries refer to it."""
    places: dict[str, int] = {}
    series = [_series_1_to_2(result, places) for result in body["series"]]
    return body | {"series": series, "commits": list(places), "snapshot": None}


def _series_1_to_2(result: Body, places: dict[str, int]) -> Body:
    refs = [places.setdefault(commit, len(places)) for commit in result["commits"]]
    following = {name: value for name, value in result.items() if name != "commits"}
    return following | {
        "commit_refs": refs,
        "incomplete": [_cell_1_to_2(cell, places) for cell in result["incomplete"]],
        "snapshot": None,
    }


def _cell_1_to_2(cell: Body, places: dict[str, int]) -> Body:
    commit = cell["commit"]
    following = {name: value for name, value in cell.items() if name != "commit"}
    return following | {"commit_ref": None if commit is None else places.setdefault(commit, len(places))}
