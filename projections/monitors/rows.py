"""What a stretch of events says of the rows of the monitors projection, and by which rule each column keeps it."""

from collections.abc import Mapping
from typing import Final

import msgspec

from projections.changes import Keep, Ranked, Rule, SparseTable, Upsert, upserts
from schemas.events import ActionKind, TriggerPruned

_LAST: Final = Keep.LAST
_FIRST: Final = Keep.FIRST
WEBHOOK_TABLES: Final = {ActionKind.WEBHOOK: "cm_webhooks", ActionKind.SLACK_WEBHOOK: "cm_slack_webhooks"}


class Pruned(msgspec.Struct, frozen=True):
    """Rows that ``trigger.pruned`` removes."""

    data: TriggerPruned


class Tips(msgspec.Struct, frozen=True):
    """What one outcome searched. ``position`` is its own: only while the row of its run has it, and a beginning, the outcome counts."""

    monitor_id: int
    repository_id: int
    begun: int
    since: int
    job_id: int
    position: str
    tips: list[str]
    pushed_offset: int


class Searched(msgspec.Struct, frozen=True):
    """Outcomes that move positions, in the order of the log; their runs are written before."""

    outcomes: list[Tips]


class FirstPushes(msgspec.Struct, frozen=True):
    """(repository, offset) of pushes that may be the first behind what was said of the repository last; that is written before."""

    pushes: list[tuple[int, int]]


Change = Upsert | Searched | FirstPushes | Pruned


def _rules(rule: Rule, *columns: str) -> Mapping[str, Rule]:
    return dict.fromkeys(columns, rule)


_ACTION: Final = ("place", "enabled", "include_results", "defined_offset")
_WEBHOOK: Final = {
    **_rules(_LAST, *_ACTION, "url_ref", "url_fingerprint", "host", "signing_ref", "signing_fingerprint"),
    **_rules(Ranked("disabled_offset"), "disabled_offset", "disabled_message"),
}


class Rows:
    """What a stretch of events between two prunings says."""

    def __init__(self) -> None:
        self.monitors = SparseTable(
            "cm_monitors",
            ("id",),
            {
                **_rules(_FIRST, "owner", "created_at", "created_position", "deleted_at"),
                **_rules(_LAST, "description", "changed_at", "changed_by", "enabled", "defined_offset"),
                **_rules(_LAST, "begun_offset", "begun_at"),
            },
        )
        self.queries = SparseTable("cm_queries", ("monitor",), _rules(_LAST, "query", "changed_at"))
        self.emails = SparseTable(
            "cm_emails", ("monitor", "id"), _rules(_LAST, *_ACTION, "priority", "header")
        )
        self.webhooks = {
            kind: SparseTable(name, ("monitor", "id"), _WEBHOOK) for kind, name in WEBHOOK_TABLES.items()
        }
        self.recipients = SparseTable(
            "cm_recipients", ("monitor", "email", "namespace_user"), _rules(_LAST, "place", "defined_offset")
        )
        self.jobs = SparseTable(
            "cm_trigger_jobs",
            ("monitor", "id"),
            {
                **_rules(_FIRST, "repository_id", "moment", "begun", "since", "cause", "pushed_offset"),
                **_rules(_FIRST, "fired_at"),
                **_rules(_FIRST, "fired_appended_at", "evaluated_at", "evaluated_appended_at", "status"),
                **_rules(_FIRST, "evaluated_position", "query_string", "search_results", "result_count"),
                **_rules(_FIRST, "match_count", "blob", "deliveries", "delivery_count", "logs"),
                **_rules(_FIRST, "failure_reason", "failure_message"),
            },
        )
        self.actions = SparseTable(
            "cm_action_jobs",
            ("monitor", "id"),
            {
                **_rules(_FIRST, "trigger_event", "action_id", "recipient", "repository_id", "delivery_id"),
                **_rules(_FIRST, "since", "succeeded_at", "succeeded_attempt", "message"),
                **_rules(Ranked("attempt"), "attempt", "requested_at", "requested_position"),
                **_rules(Ranked("failed_attempt"), "failed_at", "failed_attempt", "failed_final"),
                **_rules(Ranked("failed_attempt"), "failure_reason", "failure_message", "process_after"),
            },
        )
        self.searched = SparseTable(
            "cm_last_searched",
            ("monitor_id", "repo_id", "begun", "since"),
            {"base_oids": _FIRST},
        )
        self.outcomes: list[Tips] = []
        self._ended: set[tuple[int, int]] = set()
        self._pushes: list[tuple[int, int]] = []
        self._pushed_to: set[int] = set()
        self.repositories = SparseTable(
            "cm_repositories",
            ("repository_id",),
            {
                **_rules(_LAST, "pushed_partition", "pushed_offset", "pushed_at"),
                **_rules(_LAST, "default_branch", "tip", "previous_tip"),
                **_rules(_LAST, "refs_fingerprint"),
            },
        )

        self.identities = SparseTable(
            "cm_repository_identities",
            ("repository_id", "offset"),
            _rules(_FIRST, "at", "name", "fork", "archived", "removed"),
        )

    def ended(self, outcome: Tips) -> None:
        self.outcomes.append(outcome)
        self._ended.add((outcome.monitor_id, outcome.job_id))

    def has_ended(self, monitor_id: int, job_id: int) -> bool:
        """Whether an outcome of this run is in the stretch: what is said of its beginning now is behind it."""
        return (monitor_id, job_id) in self._ended

    def pushed(self, repository_id: int, offset: int) -> None:
        if repository_id not in self._pushed_to:
            self._pushed_to.add(repository_id)
            self._pushes.append((repository_id, offset))

    def renewed(self, repository_id: int) -> None:
        """Something was said of it: the next push is the first behind that."""
        self._pushed_to.discard(repository_id)

    def changes(self) -> list[Change]:
        written: list[Change] = [*self._upserts()]
        if self._pushes:
            written.append(FirstPushes(self._pushes))
        if self.outcomes:
            written.append(Searched(self.outcomes))
        return written

    def _upserts(self) -> list[Upsert]:
        return upserts(
            (
                self.monitors,
                self.queries,
                self.emails,
                *self.webhooks.values(),
                self.recipients,
                self.jobs,
                self.actions,
                self.searched,
                self.repositories,
                self.identities,
            )
        )
