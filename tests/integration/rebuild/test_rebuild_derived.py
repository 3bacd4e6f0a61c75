"""A projection with a derive step on a real log: kept live, rebuilt beside itself, verified; derived rows are compared too."""

import random
import threading

from sqlalchemy import Engine, text

from infra.kafka.producer import Publisher
from infra.settings import Settings
from projections.catalogue import COMMIT_GRAPH
from projections.generations import live_generations
from projections.reading import Reader
from projections.rebuild import control
from projections.rebuild.control import RebuildState
from projections.verification.verify import Outcome, verify
from schemas.codec import new_event
from schemas.envelope import Event
from tests.support.graph_events import NOW, life_before, payload_of
from tests.support.graph_facts import Published, facts, interleaved
from tests.support.keeping import eventually, keeping, rebuilt

REPOSITORIES = range(1, 13)


def told(seed: int) -> list[Event]:
    """What happens to all repositories, as it may legally happen."""
    events: list[Event] = []
    for repository in REPOSITORIES:
        random_ = random.Random(seed * 100 + repository)
        begun: set[int] = set()
        for fact in interleaved(random_, facts(random_)):
            base = seed * 1_000
            if isinstance(fact, Published) and fact.upload not in begun:
                begun.add(fact.upload)
                events += [_event(one) for one in life_before(fact, repository, base)]
            events.append(_event(payload_of(fact, repository, base)))
    return events


def _event(payload: object) -> Event:
    return new_event(payload, source="//test", time=NOW)  # type: ignore[arg-type]


def test_live_rebuilt_and_verified(
    settings: Settings, projector: Engine, publisher: Publisher, reader: Reader
) -> None:
    def live_schema() -> str:
        with projector.connect() as connection:
            return live_generations(connection)["commit_graph"].schema_name

    def count(where: str) -> int:
        with projector.connect() as connection:
            return int(connection.scalar(text(f"select count(*) from {live_schema()}.{where}")) or 0)

    def current() -> bool:
        return not count("lsif_dirty_repositories where dirty_token > update_token")

    with keeping(settings, COMMIT_GRAPH):
        positions = publisher.publish(told(1))
        assert reader.wait_for("commit_graph", positions, 60.0)
        assert eventually(current)
        assert count("lsif_nearest_uploads") > 50

        more = threading.Thread(target=lambda: publisher.publish(told(2)))
        more.start()
        done = rebuilt(settings, control.order(projector, "commit_graph", ordered_by="tester"))
        more.join()
        assert (done.state, done.reason, done.differences) == (RebuildState.SWAPPED, "", [])
        assert live_schema().endswith(f"g{done.generation}")
        assert eventually(current)

        (equal,) = verify(settings, ["commit_graph"])
        assert (equal.outcome, equal.differences) == (Outcome.EQUAL, [])

    # What nobody derives any more is stale in the live one: it is left out. What is not stale is compared.
    with projector.begin() as connection:
        schema = live_schema()
        changed = connection.scalar(
            text(
                f"update {schema}.lsif_nearest_uploads set uploads = '{{}}' where ctid ="
                f" (select min(ctid) from {schema}.lsif_nearest_uploads) returning repository_id"
            )
        )
    (different,) = verify(settings, ["commit_graph"])
    assert (different.outcome, different.different) == (Outcome.DIFFERENT, 1)
    with projector.begin() as connection:
        connection.execute(
            text(f"update {schema}.lsif_dirty_repositories set update_token = 0 where repository_id = :key"),
            {"key": changed},
        )
    (stale,) = verify(settings, ["commit_graph"])
    assert stale.outcome is Outcome.EQUAL
