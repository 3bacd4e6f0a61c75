"""Names of runs and of what is sent for them: numbers that anybody computes from what makes them unique. Pure."""

from schemas.ids import derived_event_id, stable_id


def trigger_job_id(monitor_id: int, repository_id: int, moment: str) -> int:
    """The run of a monitor in a repository that began with ``moment``."""
    return stable_id(f"run\x1f{monitor_id}\x1f{repository_id}\x1f{moment}")


def action_job_id(job_id: int, action_id: int, recipient: str) -> int:
    """What is sent for one run by one action, to one recipient of a mail."""
    return stable_id(f"action\x1f{job_id}\x1f{action_id}\x1f{recipient}")


def delivery_id(monitor_id: int, job_id: int, action_id: int, recipient: str) -> str:
    """The id that a receiver sees, the same in every attempt."""
    return derived_event_id("delivery", monitor_id, job_id, action_id, recipient)
