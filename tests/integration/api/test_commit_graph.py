"""The commit graph through GraphQL: how current it is, and which uploads answer at a commit."""

from typing import Any

from api.graphql.ids import LSIF_UPLOAD, node_id, upload_node_id
from infra.kafka.producer import Publisher
from schemas.codec import new_event
from schemas.ids import repository_id
from tests.integration.api.conftest import Api
from tests.support.graph_events import NOW, life_before, payload_of
from tests.support.graph_facts import Fact, Published, Pushed, Ref, Removed, Told
from tests.support.keeping import eventually

NAME = "git.example.com/graph/one"
A, B = "a" * 40, "b" * 40
ASK = """
query Graph($name: String!, $commit: String!) {
  repository(name: $name) {
    codeIntelligenceCommitGraph { stale staleSince waitsForCommits updatedAt }
    visibleUploads(commit: $commit) { id inputCommit inputRoot inputIndexer distance }
  }
}
"""


def latest(api: Api, number: int) -> list[bool]:
    """Whether the upload is the latest for its repository, by both of its names."""
    asked = "query L($id: ID!) { node(id: $id) { ... on PreciseIndex { isLatestForRepo } ... on LSIFUpload { isLatestForRepo } } }"
    ids = (upload_node_id(number), node_id(LSIF_UPLOAD, number))
    return [api.ask(asked, {"id": one})["node"]["isLatestForRepo"] for one in ids]


def test_a_graph_says_how_current_it_is_and_what_answers(api: Api, publisher: Publisher) -> None:
    repository = repository_id(NAME)
    api.ask(
        "mutation A($input: AddRepositoryInput!) { addRepository(input: $input) { position } }",
        {"input": {"name": NAME, "cloneUrl": f"https://{NAME}.git"}},
    )

    def said(*facts: Fact) -> None:
        events = [payload_of(fact, repository) for fact in facts]
        for fact in facts:
            if isinstance(fact, Published):
                events[:0] = life_before(fact, repository)
        publisher.publish([new_event(one, source="//test", time=NOW) for one in events])

    def asked(commit: str) -> Any:
        return api.ask(ASK, {"name": NAME, "commit": commit})["repository"]

    def settled() -> bool:
        found = asked(B)
        known = api.ask("query N($id: ID!) { node(id: $id) { id } }", {"id": upload_node_id(17)})["node"]
        return bool(known and found["visibleUploads"]) and not found["codeIntelligenceCommitGraph"]["stale"]

    assert asked(A)["visibleUploads"] == []
    said(Pushed(0))
    assert eventually(lambda: asked(A)["codeIntelligenceCommitGraph"]["waitsForCommits"])
    assert asked(A)["codeIntelligenceCommitGraph"]["stale"]
    commits = ((A, (), False), (B, (A,), False))
    whole = Told(2**31, "look", 1, 1, commits, (Ref("main", B, False, True, NOW - NOW),))
    said(whole, Published(17, A, "web/", "scip-go", ()))
    assert eventually(settled)
    found = asked(B)
    assert found["codeIntelligenceCommitGraph"]["stale"] is False
    assert found["codeIntelligenceCommitGraph"]["staleSince"] is None
    (upload,) = found["visibleUploads"]
    assert (upload["inputCommit"], upload["inputRoot"], upload["inputIndexer"]) == (A, "web/", "scip-go")
    assert upload["distance"] == 1
    assert latest(api, 17) == [True, True], "it answers at the tip of the default branch"
    said(Told(2**31 + 1, "look 2", 1, 1, commits, (Ref("main", A, False, False, NOW - NOW),)))
    assert eventually(lambda: latest(api, 17) == [False, False])
    said(Removed(False))
    assert eventually(lambda: api.ask(ASK, {"name": NAME, "commit": B})["repository"] is None)
