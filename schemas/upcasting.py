"""Old versions as the newest one says them (DESIGN section 3): one pure step from each version to the next.

A payload is decoded and checked as the version it was published in; so its errors name its own fields. Then its
plain values go through the steps, and become the newest version's struct: folds and agents see one class per type.
"""

from itertools import count

import msgspec

from schemas.registry import EventType, Payload, Registry


def newest(event_type: EventType, payload: Payload, registry: Registry) -> tuple[EventType, Payload] | None:
    """Type and payload as the newest version has them; None where a step is missing.

    Raises msgspec.ValidationError when the outcome is no payload of the newest version: then a step is wrong.
    """
    steps = steps_to_newest(event_type, registry)
    if steps is None:
        return None
    latest = steps[-1]
    if latest is event_type:
        return event_type, payload
    body = msgspec.to_builtins(payload)
    for step in steps[:-1]:
        if step.upcaster is None:
            return None
        body = step.upcaster(body)
    return latest, msgspec.convert(body, latest.payload)


def steps_to_newest(event_type: EventType, registry: Registry) -> tuple[EventType, ...] | None:
    """This version and all that follow it; None where one of them is not registered or has no upcaster."""
    steps = [event_type]
    latest = registry.latest(event_type.name)
    for version in count(event_type.version + 1):
        if steps[-1] is latest:
            return tuple(steps)
        following = registry.get(event_type.name, version)
        if following is None or steps[-1].upcaster is None:
            return None
        steps.append(following)
    return None


def unreachable(registry: Registry) -> list[EventType]:
    """Versions that could not be read as their newest one: a step is missing. Empty in a build that can run."""
    return [one for one in registry if steps_to_newest(one, registry) is None]
