"""Answers in the exact shape of the GraphQL schema, and a context that gives them: pages without a stack."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from starlette.templating import Jinja2Templates

from api.auth.user import User
from api.context import GraphQLAnswer
from api.graphql.ids import insight_id_of, repository_node_id
from api.http.live import LiveHub, LivePolicy
from api.web import TEMPLATES
from infra.settings import Settings
from tests.unit.web.bell import Bell

SHA = "3f2a91c8d07b5e6412f0a9d8c7b6e5f4a3d2c1b0"
TIMES = ["2025-12-01T00:00:00Z", *[f"2026-{month:02d}-01T00:00:00Z" for month in range(1, 12)]]
OLD: list[int | None] = [182, 176, 171, 150, 149, 131, 120, 96, 81, 60, 41, 22]
NEW: list[int | None] = [0, 3, 9, 24, 31, 52, 60, 88, 103, 126, 149, 171]
PARTLY: list[int | None] = [None, None, 12, 14, 14, 20, 24, 23, 25, 160, 160, 165]
REPOSITORIES = ("git.example.com/shop/gateway", "git.example.com/shop/billing")
AS_OF = [
    {"projection": "insights", "appliedUpTo": "2026-11-22T11:58:00Z"},
    {"projection": "series_points", "appliedUpTo": "2026-11-22T12:03:04.250Z"},
]

_SHORT = LivePolicy(interval_s=0.02, patience_s=0.05, heartbeat_s=0.1, life_s=0.3)
"""Streams that end soon: a test reads them whole."""
Values = list[int | None]
Json = dict[str, object]


def line(number: int, label: str, query: str, values: Values, incomplete: Mapping[int, list[str]]) -> Json:
    """One entry of ``dataSeries``."""
    return {
        "seriesId": f"s:{number:064X}",
        "label": label,
        "query": query,
        "times": TIMES,
        "values": values,
        "complete": [i not in incomplete and value is not None for i, value in enumerate(values)],
        "incompletePoints": [{"dateTime": TIMES[i], "reasons": reasons} for i, reasons in incomplete.items()],
        "status": {"isLoadingData": False, "plannedCells": 24, "doneCells": 24, "failedCells": 0},
        "snapshot": None,
    }


def with_snapshot(entry: Json, time: str, value: int, *, complete: bool = True) -> Json:
    """An entry of ``dataSeries`` that ends with a newest count."""
    flaws = [] if complete else [{"dateTime": time, "reasons": ["not-counted"]}]
    return entry | {
        "times": [*entry["times"], time],  # type: ignore[misc]
        "values": [*entry["values"], value],  # type: ignore[misc]
        "complete": [*entry["complete"], complete],  # type: ignore[misc]
        "incompletePoints": [*entry["incompletePoints"], *flaws],  # type: ignore[misc]
        "snapshot": {"dateTime": time, "value": value, "isIncomplete": not complete},
    }


def view(number: int, title: str, lines: list[Json], *, loading: bool = False, done: int = 24) -> Json:
    """One node of ``insightViews``."""
    for entry in lines:
        entry["status"] = {
            "isLoadingData": loading,
            "plannedCells": 24 if done or not loading else 0,
            "doneCells": done,
            "failedCells": 0,
        }
    return {
        "databaseID": str(number),
        "title": title,
        "description": "The old call should reach zero before the winter freeze." if number == 1 else "",
        "isLoadingData": loading,
        "dataSeries": lines,
        "presentation": {"seriesPresentation": [{"seriesId": e["seriesId"], "color": ""} for e in lines]},
        "timeScope": {"unit": "MONTH", "value": 1},
        "repositoryDefinition": {"search": "", "allRepositories": True},
    }


def views() -> list[Json]:
    """A migration being counted, a finished one, one with incomplete points, one just created."""
    old = ("legacy urlopen", "urlopen(", [*OLD])
    new = ("pooled client", "client.fetch(", [*NEW])
    retries = ("retries", "retry lang:python", [*PARTLY])
    flaws = {3: ["shallow"], 4: ["shallow", "pending"]}

    def three() -> list[Json]:
        return [line(1, *old, {}), line(2, *new, flaws), line(3, *retries, {9: ["missing-object"]})]

    return [
        view(1, "Migration from urlopen to the pooled client", three(), loading=True, done=21),
        view(2, "Open notes in the code", [line(1, *old, {})]),
        view(3, "Regular expressions compiled inside loops, in all services of the shop", three()),
        view(4, "Just created", [line(4, "TODO", "TODO", [None] * 12, {})], loading=True, done=0),
    ]


def cells_of(node: Json) -> Json:
    """The answer of ``cells.graphql`` for a node: each value halved between two repositories."""
    series = []
    for entry in node["dataSeries"]:  # type: ignore[attr-defined]
        parts = []
        for which, name in enumerate(REPOSITORIES):
            points = [
                {
                    "dateTime": time,
                    "value": None if value is None else (value + which) // 2,
                    "complete": value is not None and (complete or which == 1),
                    "reason": None if value is not None and (complete or which == 1) else "shallow",
                    "commit": SHA if value else None,
                }
                for time, value, complete in zip(
                    entry["times"], entry["values"], entry["complete"], strict=True
                )
            ]
            remote = {"remoteURL": f"/srv/git/{name.rsplit('/', 1)[1]}"}
            parts.append(
                {
                    "repository": {"id": repository_node_id(which), "name": name, "mirrorInfo": remote},
                    "points": points,
                }
            )
        series.append({"seriesId": entry["seriesId"], "perRepository": parts})
    return {"dataSeries": series}


def repository(name: str, *, cloned: bool, error: str | None = None, remote: str = "") -> Json:
    """One node of ``repositories``."""
    return {
        "id": f"id-{name}",
        "name": name,
        "mirrorInfo": {"remoteURL": remote or name, "cloned": cloned, "lastError": error, "shallow": False},
        "defaultBranch": {"displayName": "main", "target": {"oid": SHA}} if cloned else None,
    }


@dataclass
class FixtureContext:
    """An ``asking.PageContext``. ``asked`` records (operation name, variables); ``errors`` makes one operation fail,
    ``answers`` are those of further operations."""

    nodes: list[Json] = field(default_factory=views)
    repositories: list[Json] = field(
        default_factory=lambda: [
            repository(REPOSITORIES[0], cloned=True, remote="/srv/git/gateway"),
            repository(REPOSITORIES[1], cloned=False, remote="https://git.example.com/shop/billing.git"),
            repository("old", cloned=False, error="not-a-repository: /srv/old holds no git repository"),
        ]
    )
    errors: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    answers: dict[str, Callable[[Mapping[str, object]], dict[str, object]]] = field(default_factory=dict)
    asked: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    templates: Jinja2Templates = field(default_factory=lambda: Jinja2Templates(TEMPLATES))
    live: LiveHub = field(default_factory=lambda: LiveHub(Bell(), _SHORT))
    preview_counted: int = 3
    preview_estimated: bool = False
    version: str = "0.1.0"
    settings: Settings = field(default_factory=lambda: Settings(home=Path("/nonexistent")))

    async def execute_graphql(
        self,
        query: str,
        variables: Mapping[str, object] | None = None,
        *,
        user: User,
        operation_name: str | None = None,
        idempotency_key: str | None = None,
    ) -> GraphQLAnswer:
        """The canned answer of the operation in ``query``."""
        name, given = query.split()[1].partition("(")[0], variables or {}
        self.asked.append((name, given))
        if name in self.errors:
            return GraphQLAnswer(data=None, errors=self.errors[name])
        answers: dict[str, Callable[[Mapping[str, object]], dict[str, object]]] = {
            "Insights": self._insights,
            "Insight": self._insight,
            "Cells": self._cells,
            "Repositories": self._repositories,
            "RepositoryNames": self._repositories,
            "ValidateQuery": _validated,
            "ValidateScope": _scope_validated,
            "CountScope": lambda _: {"previewRepositoriesFromQuery": {"numberOfRepositories": 2}},
            "Preview": self._preview,
            "CreateInsight": lambda _: {
                "createLineChartSearchInsight": {"view": {"id": "x", "databaseID": "1"}, "position": "p"}
            },
            "Event": lambda given: {"event": event(str(given.get("id") or given.get("position")))},
            "CommitGraph": _commit_graph,
            "AddRepository": lambda _: {"addRepository": {"repository": {"name": "x"}, "position": "p"}},
            **self.answers,
        }
        if name.startswith("Backfill") or name == "DeleteInsight":
            return GraphQLAnswer(data={"done": {}})
        return GraphQLAnswer(data=answers[name](given))

    def _insights(self, given: Mapping[str, object]) -> dict[str, object]:
        find = str(given.get("find") or "").lower()
        nodes = [node for node in self.nodes if find in str(node["title"]).lower()]
        page = {"endCursor": None, "hasNextPage": False}
        found = {"nodes": nodes, "totalCount": len(nodes), "pageInfo": page, "asOf": AS_OF}
        return {"insightViews": found, "repositories": {"totalCount": len(self.repositories)}}

    def _chosen(self, given: Mapping[str, object]) -> list[Json]:
        wanted = str(insight_id_of(str(given["id"])))
        return [node for node in self.nodes if node["databaseID"] == wanted]

    def _insight(self, given: Mapping[str, object]) -> dict[str, object]:
        return {"insightViews": {"nodes": self._chosen(given), "asOf": AS_OF}}

    def _cells(self, given: Mapping[str, object]) -> dict[str, object]:
        return {"insightViews": {"nodes": [cells_of(node) for node in self._chosen(given)]}}

    def _preview(self, given: Mapping[str, object]) -> dict[str, object]:
        series: list[Json] = given["input"]["series"]  # type: ignore[index]
        lines = [
            {
                "label": one["label"],
                "query": one["query"],
                "times": TIMES[-7:],
                "values": [number * 1000 + step for step in range(7)],
                "isEstimate": self.preview_estimated,
                "coveredRepositories": 3,
                "countedRepositories": self.preview_counted,
            }
            for number, one in enumerate(series, start=1)
        ]
        return {
            "insightPreview": {
                "series": lines,
                "numberOfRepositories": 3,
                "repositoryNames": ["a", "b"],
                "sample": {
                    "counted": self.preview_counted,
                    "notOnThisMachine": 0 if self.preview_estimated else 3 - self.preview_counted,
                    "notInTime": 0,
                    "unreadable": 0,
                    "isBusy": False,
                },
                "estimate": {"frames": 12, "cells": 72, "files": 12_345.6, "countingSeconds": 83.2},
            }
        }

    def _repositories(self, given: Mapping[str, object]) -> dict[str, object]:
        page = {"endCursor": None, "hasNextPage": False}
        return {
            "repositories": {
                "nodes": self.repositories,
                "totalCount": len(self.repositories),
                "pageInfo": page,
                "asOf": AS_OF,
            }
        }


def _commit_graph(given: Mapping[str, object]) -> dict[str, object]:
    """Of the first repository: stale, with one upload that answers at every commit."""
    if given["name"] != REPOSITORIES[0]:
        return {"repository": None}
    at = "2026-11-22T12:00:00Z"
    found: Json = repository(REPOSITORIES[0], cloned=True) | {
        "codeIntelligenceCommitGraph": {
            "stale": True,
            "staleSince": at,
            "waitsForCommits": True,
            "updatedAt": at,
        }
    }
    if given["hasCommit"]:
        upload = {
            "id": "x",
            "inputCommit": "b" * 40,
            "inputRoot": "",
            "inputIndexer": "scip-go",
            "distance": 3,
        }
        found["visibleUploads"] = [upload] if given["commit"] == SHA else []
    return {"repository": found}


def event(asked: str) -> Json:
    """The answer of ``event.graphql``: found, unless its name begins with "no"."""
    at = "millstream.insights/0@7"
    link: Json = {"id": "e-2", "subject": "9", "appendedAt": "2026-11-22T12:00:01Z", "reason": None}
    effect = link | {"type": "millstream.recording.requested", "causedBy": at, "state": "ACCEPTED"}
    nothing: Json = {
        "asked": asked,
        "found": False,
        "words": [f"No event with the id {asked} was received within the last 30 days."],
        "statusOnly": False,
        **dict.fromkeys(("id", "source", "type", "subject", "position", "appendedAt", "state", "record")),
        **{
            name: []
            for name in ("publications", "otherSources", "projections", "groups", "causes", "effects")
        },
        "hasMoreEffects": False,
        "owed": [],
        "hasMoreOwed": False,
    }
    if asked.startswith("no"):
        return nothing
    return nothing | {
        "found": True,
        "words": ["It was accepted, as version 1 of its aggregate."],
        "id": "e-1",
        "source": "//millstream/api",
        "type": "millstream.insight.created",
        "subject": "9",
        "position": at,
        "appendedAt": "2026-11-22T12:00:00Z",
        "state": "ACCEPTED",
        "record": {
            "reading": "EVENT",
            "correlationId": "e-0",
            "causationId": "e-0",
            "time": "2026-11-22T12:00:00Z",
            "version": 1,
            "key": "9",
            "sizeBytes": 1234,
            "structured": False,
            "headers": [{"name": "ce_id", "value": "<e-1>"}],
            "payload": '{"title": "</script>"}',
        },
        "projections": [
            {
                "projection": "insights",
                "generation": 2,
                "passing": "APPLIED",
                "nextOffset": 8.0,
                "passedBy": "2026-11-22T12:00:02Z",
                "reason": None,
            },
            {
                "projection": "series_points",
                "generation": 1,
                "passing": "WAITING",
                "nextOffset": 3.0,
                "passedBy": None,
                "reason": "LOG_TRUNCATED: it begins at 5",
            },
        ],
        "groups": [
            {"group": "millstream-heads", "agents": ["planner.insights"], "nextOffset": 7.0, "passed": False}
        ],
        "causes": [
            {**dict.fromkeys(link), "id": "e-0", "type": None, "causedBy": None, "state": None}
            | {"depth": 1, "position": None}
        ],
        "effects": [
            effect | {"depth": 1, "position": "millstream.recordings/1@4"},
            effect | {"depth": 2, "position": "millstream.results/1@2", "state": "REJECTED"},
            effect | {"depth": 1, "position": "millstream.recordings/2@9"},
        ],
        "owed": [
            {
                "obligation": "insight.plan",
                "agents": ["planner.insights"],
                "attempt": 1,
                "attempts": 5,
                "opened": at,
                "ofThis": True,
                "failedAt": None,
                "message": "The plan of insight 9 is owed by planner.insights.",
            }
        ],
    }


def _validated(given: Mapping[str, object]) -> dict[str, object]:
    query = str(given["query"])
    at = query.find("author:")
    fault: Json = {"invalidReason": "author: needs type:commit or type:diff", "position": at, "length": 7}
    notices = ["foo: is no field: it is searched for as text"] if "foo:" in query else []
    whole: Json = {
        "isValid": True,
        "invalidReason": None,
        "position": None,
        "length": None,
        "notices": notices,
    }
    return {"validateInsightQuery": whole if at < 0 else {**whole, **fault, "isValid": False}}


def _scope_validated(given: Mapping[str, object]) -> dict[str, object]:
    good = str(given["query"]).startswith(("repo:", "-repo:"))
    reason = None if good else "A scope holds only repo: filters."
    return {"validateScopedInsightQuery": {"isValid": good, "invalidReason": reason}}
