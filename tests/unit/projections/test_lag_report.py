"""What is told of a whole group: never less than what its worst partition may be."""

from projections.lag.exposition import families
from projections.lag.model import Kind, LagReport
from projections.lag.observe import Observed, Reading
from projections.lag.report import Windows, report
from projections.lag.states import Sample

AT_S = 1_800_000_000.0
HOURS_BEHIND, CAUGHT_UP, A_LITTLE_BEHIND = (5, None), (90_000, None), (89_990, 0.2)
"""(next offset, age in seconds; None: the record was not read in time, or there is none)."""
NEVER_COMMITTED = (None, None)


def told(*places: tuple[int | None, float | None], kind: Kind = Kind.FOREIGN) -> LagReport:
    """A report of one look at one group; the log ends at 90,000 in each partition."""
    offsets = {("t", number): offset for number, (offset, _) in enumerate(places)}
    samples = {
        ("g", "t", number): Sample(
            at_s=AT_S,
            next_offset=offset,
            start=0,
            end=90_000,
            appended_s=None if age is None else AT_S - age,
            readers=1,
        )
        for number, (offset, age) in enumerate(places)
    }
    observed = Observed(
        at_s=AT_S, readings=(Reading(group="g", kind=kind, name="g", offsets=offsets),), samples=samples
    )
    windows = Windows()
    windows.add(observed)
    return report(observed, windows, by="test", took_s=0.0)


def exported(found: LagReport, name: str) -> list[float]:
    """The values of one metric."""
    return [
        value
        for family in families(found, "c")
        if family.name == f"kafka_consumergroup_group_{name}"
        for _, value in family.samples
    ]


def test_one_partition_of_unknown_age_makes_the_group_s_unknown() -> None:
    found = told(HOURS_BEHIND, A_LITTLE_BEHIND, CAUGHT_UP)
    (group,) = found.groups
    assert group.seconds is None
    assert group.reason.endswith("; for how long is not known of 1 partition")
    assert group.records == 89_995 + 10
    assert exported(found, "max_lag_seconds") == []
    assert len(exported(found, "lag_seconds")) == 2, "each of the others is told as ever"


def test_the_greatest_age_is_told_when_all_are_known() -> None:
    found = told(A_LITTLE_BEHIND, CAUGHT_UP, (80_000, 40.0))
    (group,) = found.groups
    assert group.seconds == 40.0
    assert "not known" not in group.reason
    assert exported(found, "max_lag_seconds") == [40.0]


def test_a_partition_that_was_never_committed_counts_for_projections_alone() -> None:
    assert told(A_LITTLE_BEHIND, NEVER_COMMITTED).groups[0].seconds is not None
    (group,) = told(A_LITTLE_BEHIND, NEVER_COMMITTED, NEVER_COMMITTED, kind=Kind.PROJECTION).groups
    assert group.seconds is None
    assert group.reason.endswith("; for how long is not known of 2 partitions")
