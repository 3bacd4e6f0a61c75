"""Which uploads are visible at the tips of refs that count (the rules of ``docs/commit-graph.md``). Pure."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from projections.commit_graph.model import AtTip, Ref

BRANCH_AGE: Final = timedelta(hours=2_160)
TAG_AGE: Final = timedelta(hours=8_760)
"""A tip that is older than this against the newest push of the repository does not count; the default branch's always does."""


def counts(ref: Ref, pushed_at: datetime | None) -> bool:
    """Whether the ref's tip counts. No clock: a repository that is not pushed to does not grow older."""
    if ref.is_default or pushed_at is None:
        return True
    return pushed_at - ref.committed_at <= (TAG_AGE if ref.is_tag else BRANCH_AGE)


def at_tips(
    refs: Iterable[Ref], pushed_at: datetime | None, seen: Callable[[bytes], Iterable[int]]
) -> list[AtTip]:
    """One row for each upload and tip; ``seen`` gives the uploads that are visible at a commit."""
    by_tip: dict[bytes, list[Ref]] = {}
    for ref in refs:
        if counts(ref, pushed_at):
            by_tip.setdefault(ref.tip, []).append(ref)
    return sorted(
        AtTip(
            upload_id, tip, ",".join(sorted(ref.name for ref in there)), any(ref.is_default for ref in there)
        )
        for tip, there in by_tip.items()
        for upload_id in seen(tip)
    )
