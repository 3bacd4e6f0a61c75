"""``codeMonitorPreview``: what would have matched lately."""

from ariadne import QueryType

from api.commands.monitors import query_of
from api.graphql.types.info import Info, operation_of
from api.preview.commits import COMMITS, CommitPlace
from api.preview.sample import order_of
from projections.repositories import queries
from streams.repositories.location import clone_path
from streams.search.query import repository_filter

query = QueryType()


@query.field("codeMonitorPreview")
def resolve_preview(_: object, info: Info, query: str) -> dict[str, object]:
    operation = operation_of(info)
    parsed = query_of(query, "query")
    chosen = repository_filter(parsed.query)
    followed = {
        one.id: one
        for one in queries.all_repositories(operation.reads.snapshot.connection)
        if chosen.matches(one.name, one.fork, one.archived)
    }
    operation.renew()  # no transaction is held open while git looks
    previewer = operation.services.monitoring.previewer

    def place_of(repository_id: int) -> CommitPlace | None:
        one = followed[repository_id]
        folder = clone_path(previewer.home, one.id, one.path)
        is_here = one.clone_state == "ready" and folder.is_dir()
        return CommitPlace(one.name, folder, one.default_branch) if is_here else None

    sample = previewer.look(parsed, order_of(followed), place_of)
    return {
        "repository_count": len(followed),
        "looked_at": sample.looked_at,
        "commits": COMMITS,
        "results": sample.results,
    }


bindables = [query]
