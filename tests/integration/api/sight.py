"""Everything by which the API could show a repository, classified. What is new and not in these tables fails the test."""

from enum import Enum
from typing import Final

from api.graphql.ids import MONITOR, node_id, repository_node_id, upload_node_id
from schemas.ids import repository_id

HOST: Final = "git.example.com/team"
SEEN: Final = f"{HOST}/seen"
DENIED: Final = f"{HOST}/denied"
ABSENT: Final = f"{HOST}/absent"
UPLOADS: Final = {SEEN: 501, DENIED: 502, ABSENT: 503}
"""An upload of each."""
MONITOR_ID: Final = 81
"""Ann's, which has run over all of them."""


class Sight(Enum):
    """How a root field, or an address, could tell of a repository."""

    OPERATORS = "operators"
    """Refused to who is no site admin, whatever it is asked about."""
    NOTHING = "nothing"
    """Neither takes nor tells anything of a repository."""
    TELLS = "tells"
    """Tells of repositories: the answer is the one from before there was the denied one."""


QUERIES: Final[dict[str, tuple[Sight, str]]] = {
    "asOf": (Sight.NOTHING, ""),
    "codeMonitorPreview": (Sight.TELLS, '(query: "type:diff TODO repo:team")'),
    "consumerGroup": (Sight.OPERATORS, ""),
    "consumerGroups": (Sight.OPERATORS, ""),
    "currentUser": (Sight.NOTHING, ""),
    "deadLetter": (Sight.OPERATORS, ""),
    "deadLetters": (Sight.OPERATORS, ""),
    "event": (Sight.TELLS, '(id: "of-seen")'),
    "eventStatus": (Sight.TELLS, '(source: "//test", id: "of-seen")'),
    "insightAdminBackfillQueue": (Sight.TELLS, "(first: 50)"),
    "insightPreview": (
        Sight.TELLS,
        "(input: { repositoryScope: { repositories: [] }, timeScope: { stepInterval: { unit: MONTH, value: 1 } }, "
        'series: [{ query: "TODO", label: "l", generatedFromCaptureGroups: false }] })',
    ),
    "insightViews": (Sight.TELLS, "(first: 50)"),
    "insightsDashboards": (Sight.NOTHING, ""),
    "lsifUploads": (Sight.TELLS, "(first: 50)"),
    "monitors": (Sight.OPERATORS, ""),
    "node": (Sight.TELLS, f'(id: "{repository_node_id(repository_id(SEEN))}")'),
    "operatorDecisions": (Sight.OPERATORS, ""),
    "operatorOrder": (Sight.OPERATORS, ""),
    "organization": (Sight.NOTHING, ""),
    "organizations": (Sight.OPERATORS, ""),
    "preciseIndexes": (Sight.TELLS, "(first: 50)"),
    "previewRepositoriesFromQuery": (Sight.TELLS, '(query: "repo:team")'),
    "projectionDiff": (Sight.OPERATORS, ""),
    "projections": (Sight.OPERATORS, ""),
    "repositories": (Sight.TELLS, "(first: 50)"),
    "repository": (Sight.TELLS, f'(name: "{SEEN}")'),
    "searchInsightLivePreview": (
        Sight.TELLS,
        '(input: { query: "TODO", label: "l", generatedFromCaptureGroups: false, repositoryScope: { repositories: [] }, '
        "timeScope: { stepInterval: { unit: MONTH, value: 1 } } })",
    ),
    "searchInsightPreview": (
        Sight.TELLS,
        "(input: { repositoryScope: { repositories: [] }, timeScope: { stepInterval: { unit: MONTH, value: 1 } }, "
        'series: [{ query: "TODO", label: "l", generatedFromCaptureGroups: false }] })',
    ),
    "site": (Sight.NOTHING, ""),
    "siteSettings": (Sight.NOTHING, ""),
    "user": (Sight.NOTHING, ""),
    "users": (Sight.OPERATORS, ""),
    "validateCodeMonitorQuery": (Sight.NOTHING, ""),
    "validateInsightQuery": (Sight.NOTHING, ""),
    "validateScopedInsightQuery": (Sight.NOTHING, ""),
}
"""Every field of Query, and the arguments with which it tells the most."""

MUTATIONS: Final[dict[str, Sight]] = {
    **dict.fromkeys(
        (
            "acceptRebuild",
            "addRepository",
            "cancelRebuild",
            "changeSiteSetting",
            "createUser",
            "deleteUser",
            "dropGeneration",
            "dropRecords",
            "pauseRebuild",
            "rebuildProjection",
            "redriveAggregates",
            "redriveAll",
            "removeRepository",
            "renameRepository",
            "resetTriggerQueryTimestamps",
            "resumeRebuild",
            "rollbackProjection",
            "setRepositoryPermissionsForUsers",
            "setRepositoryPermissionsUnrestricted",
            "setUserIsSiteAdmin",
            "updateRepository",
        ),
        Sight.OPERATORS,
    ),
    **dict.fromkeys(
        (
            "addUserEmail",
            "addUserToOrganization",
            "createAccessToken",
            # of a monitor, whose runs see what its owner may see then; what they found is told by its pages and node
            "createCodeMonitor",
            "deleteCodeMonitor",
            "runCodeMonitor",
            "toggleCodeMonitor",
            "updateCodeMonitor",
            # of an action that is kept nowhere, with a result of no repository
            "triggerTestEmailAction",
            "triggerTestSlackWebhookAction",
            "triggerTestWebhookAction",
            "createOrganization",
            "deleteAccessToken",
            "deleteOrganization",
            "removeUserEmail",
            "removeUserFromOrganization",
            "updateUser",
            # of an insight: what they answer of its repositories is asked of insightAdminBackfillQueue
            "cancelInsightBackfill",
            "deleteInsightView",
            "moveInsightSeriesBackfillToBackOfQueue",
            "moveInsightSeriesBackfillToFrontOfQueue",
            "pauseInsightBackfill",
            "resumeInsightBackfill",
            "retryInsightSeriesBackfill",
        ),
        Sight.NOTHING,
    ),
    "createLineChartSearchInsight": Sight.TELLS,
    "deleteLSIFUpload": Sight.TELLS,
    "deletePreciseIndex": Sight.TELLS,
    "updateMirrorRepository": Sight.TELLS,
}

ABOUT: Final[tuple[str, ...]] = (
    'query {{ repository(name: "{name}") {{ id }} }}',
    'query {{ repository(cloneURL: "https://{name}.git") {{ id }} }}',
    'query {{ repositories(names: ["{name}"]) {{ nodes {{ id }} totalCount pageInfo {{ endCursor hasNextPage }} }} }}',
    'query {{ repositories(query: "{last}") {{ nodes {{ id }} totalCount pageInfo {{ endCursor hasNextPage }} }} }}',
    'query {{ node(id: "{id}") {{ __typename id }} }}',
    'query {{ node(id: "{upload}") {{ __typename id }} }}',
    'query {{ preciseIndexes(repo: "{id}") {{ nodes {{ id }} totalCount pageInfo {{ endCursor hasNextPage }} }} }}',
    'query {{ lsifUploads(query: "{last}") {{ nodes {{ id }} totalCount pageInfo {{ endCursor hasNextPage }} }} }}',
    'query {{ codeMonitorPreview(query: "type:diff TODO repo:{last}") {{ __typename }} }}',
    'mutation {{ deletePreciseIndex(id: "{upload}") {{ alwaysNil }} }}',
    'mutation {{ deleteLSIFUpload(id: "{upload}") {{ alwaysNil }} }}',
    'query {{ previewRepositoriesFromQuery(query: "repo:{last}") {{ numberOfRepositories }} }}',
    'query {{ event(id: "of-{last}") {{ found words state subject position publications {{ position }} }} }}',
    'query {{ eventStatus(source: "//test", id: "of-{last}") {{ state subject }} }}',
    'query {{ insightViews(filters: {{ includeRepoRegex: "{last}" }}) {{ nodes {{ isLoadingData dataSeries {{ values }} }} }} }}',
    'query {{ insightPreview(input: {{ repositoryScope: {{ repositories: ["{name}"] }}, '
    "timeScope: {{ stepInterval: {{ unit: MONTH, value: 1 }} }}, "
    'series: [{{ query: "TODO", label: "l", generatedFromCaptureGroups: false }}] }}) {{ numberOfRepositories }} }}',
    'mutation {{ createLineChartSearchInsight(input: {{ options: {{ title: "t" }}, repositoryScope: {{ repositories: ["{name}"] }}, '
    "timeScope: {{ stepInterval: {{ unit: MONTH, value: 1 }} }}, "
    'dataSeries: [{{ query: "TODO", options: {{ label: "l" }} }}] }}) {{ position }} }}',
    'mutation {{ updateMirrorRepository(repository: "{id}") {{ alwaysNil }} }}',
    'mutation {{ removeRepository(repository: "{id}") {{ alwaysNil }} }}',
    'mutation {{ renameRepository(repository: "{id}", name: "{name}-2") {{ position }} }}',
    'mutation {{ updateRepository(repository: "{id}", input: {{ fork: true }}) {{ position }} }}',
    'mutation {{ addRepository(input: {{ name: "{name}", path: "/p" }}) {{ position }} }}',
    'mutation {{ setRepositoryPermissionsForUsers(repository: "{id}", userPermissions: []) {{ position }} }}',
    'mutation {{ setRepositoryPermissionsUnrestricted(repositories: ["{id}"], unrestricted: true) {{ alwaysNil }} }}',
)
"""Operations that name a repository: the denied one and the absent one get the same answer, but for the name."""

_MONITOR: Final = f"/code-monitoring/{node_id(MONITOR, MONITOR_ID)}"
PAGES: Final[dict[str, tuple[Sight, str]]] = {
    "/": (Sight.NOTHING, ""),
    "/.api/lsif/upload": (Sight.NOTHING, ""),  # takes a repository's name: asked by a test of its own
    "/.api/scip/upload": (Sight.NOTHING, ""),
    "/code-monitoring": (Sight.TELLS, "/code-monitoring"),
    "/code-monitoring/new": (Sight.NOTHING, ""),
    "/code-monitoring/preview": (Sight.NOTHING, ""),  # the query codeMonitorPreview
    "/code-monitoring/{id}": (Sight.TELLS, _MONITOR),
    "/code-monitoring/{id}/edit": (Sight.TELLS, f"{_MONITOR}/edit"),
    "/code-monitoring/{id}/events/{number:int}": (Sight.TELLS, _MONITOR + "/events/{run}"),
    "/code-monitoring/{id}/delete": (Sight.NOTHING, ""),  # asks, with the name of the monitor
    "/code-monitoring/{id}/{action}": (Sight.NOTHING, ""),
    "/site-admin/code-intelligence/uploads": (Sight.OPERATORS, "/site-admin/code-intelligence/uploads"),
    "/{repository:path}/-/code-intelligence/graph": (Sight.TELLS, "/{name}/-/code-intelligence/graph"),
    "/{repository:path}/-/code-intelligence/uploads": (Sight.TELLS, "/{name}/-/code-intelligence/uploads"),
    "/{repository:path}/-/code-intelligence/uploads/{id}": (
        Sight.TELLS,
        "/{name}/-/code-intelligence/uploads/{upload}",
    ),
    "/{repository:path}/-/code-intelligence/uploads/{id}/delete": (
        Sight.TELLS,
        "/{name}/-/code-intelligence/uploads/{upload}/delete",
    ),
    "/insights": (Sight.TELLS, "/insights"),
    "/insights/new": (Sight.TELLS, "/insights/new"),
    "/insights/new/query": (Sight.NOTHING, ""),
    "/insights/new/scope": (Sight.TELLS, "/insights/new/scope?repositories={name}"),
    "/insights/new/preview": (Sight.NOTHING, ""),  # the query insightPreview
    "/insights/{id:int}": (Sight.TELLS, "/insights/{insight}"),
    "/insights/{id:int}/data.csv": (Sight.TELLS, "/insights/{insight}/data.csv"),
    "/insights/{id:int}/data.json": (Sight.TELLS, "/insights/{insight}/data.json"),
    "/insights/{id:int}/live": (
        Sight.NOTHING,
        "",
    ),  # a digest of what the page shows, which the page carries too
    "/insights/{id:int}/ask/{action}": (Sight.TELLS, "/insights/{insight}/ask/delete"),
    "/insights/{id:int}/{action}": (Sight.NOTHING, ""),
    "/repositories": (Sight.TELLS, "/repositories"),
    "/events": (Sight.TELLS, "/events?source=//test&id=of-{last}"),
    "/events/": (Sight.NOTHING, ""),
    "/events/{asked:path}": (Sight.TELLS, "/events/of-{last}"),
    "/graphiql": (Sight.NOTHING, ""),
    "/graphql": (Sight.NOTHING, ""),
    "/.api/graphql": (Sight.NOTHING, ""),
    "/healthz": (Sight.NOTHING, ""),
    "/readyz": (Sight.NOTHING, ""),
    "/metrics": (Sight.NOTHING, ""),  # counters of the process, no label of which is a repository's
    "/login": (Sight.NOTHING, ""),
    "/logout": (Sight.NOTHING, ""),
    "/operations": (Sight.OPERATORS, "/operations"),
    "/operations/live": (Sight.OPERATORS, "/operations/live"),
    "/operations/groups/{group:path}": (Sight.OPERATORS, "/operations/groups/millstream-heads"),
    "/operations/projections": (Sight.OPERATORS, "/operations/projections"),
    "/operations/projections/rebuilds/{id:int}/{step}": (Sight.NOTHING, ""),
    "/operations/projections/{name}/rebuild": (Sight.NOTHING, ""),
    "/operations/projections/{name}/diff": (Sight.OPERATORS, "/operations/projections/insights/diff?a=1&b=2"),
    "/operations/projections/{name}/{action}": (Sight.NOTHING, ""),
    "/operations/dead-letters": (Sight.OPERATORS, "/operations/dead-letters"),
    "/operations/dead-letters/{id:path}": (Sight.NOTHING, ""),
    "/account": (Sight.NOTHING, ""),  # of the caller alone
    "/account/tokens": (Sight.NOTHING, ""),
    "/account/tokens/revoke": (Sight.NOTHING, ""),
    "/site-admin/users": (Sight.OPERATORS, "/site-admin/users"),
    "/site-admin/users/{action}": (Sight.NOTHING, ""),
}
"""Every address, and how it is asked. ``{last}`` and ``{name}`` are of a repository, ``{upload}`` and ``{run}`` of what hangs on it."""


def upload_of(name: str) -> str:
    """The node id of a repository's upload."""
    return upload_node_id(UPLOADS[name])


ERROR_CODES: Final = frozenset(
    {
        "GRAPHQL_PARSE_FAILED",
        "GRAPHQL_VALIDATION_FAILED",
        "LIMIT_EXCEEDED",
        "TIMEOUT",
        "INVALID_INPUT",  # repeats the caller's own words: the operations of ABOUT compare them
        "NOT_SUPPORTED",
        "NOT_PERMITTED",
        "NOT_FOUND",
        "REFUSED",
        "ACCEPTED_NOT_YET_VISIBLE",
        "REJECTED",  # of a guarded topic: only site admins say what is judged of a repository
        "NOT_YET_APPLIED",
        "UNAVAILABLE",
        "INTERNAL",
    }
)
"""Every kind of error whose text was looked at for what it could tell."""
