"""Mutations of repositories: follow one, describe it anew, rename it, follow it no longer."""

from collections.abc import Mapping, Sequence

import msgspec
from ariadne import MutationType

from api.commands.errors import ApiError, Code, InputRefused
from api.commands.repositories import new_name, registration
from api.graphql import ids
from api.graphql.operation import Operation
from api.graphql.types.admin import require_site_admin
from api.graphql.types.info import Info, operation_of
from api.graphql.writing import earlier, event_of, write
from projections.repositories import queries
from projections.repositories.queries import Repository
from schemas.envelope import Position
from schemas.events import (
    RepositoryRefreshRequested,
    RepositoryRegistered,
    RepositoryRemoved,
    RepositoryRenamed,
    RepositoryUpdated,
)
from schemas.registry import Payload

mutation = MutationType()


@mutation.field("addRepository")
def resolve_add(_: object, info: Info, input: dict[str, object]) -> dict[str, object]:  # noqa: A002
    require_site_admin(info)
    operation = operation_of(info)
    payload = registration(
        name=_text(input.get("name")),
        path=_text(input.get("path")),
        clone_url=_text(input.get("clone_url")),
        fork=bool(input.get("fork")),
        archived=bool(input.get("archived")),
        private=bool(input.get("private")),
    )
    identity = ids.repository_node_id(payload.repository_id)
    wishes = [payload]
    named = operation.reads.repositories.get(payload.repository_id)
    if named is not None and named.name != payload.name and _is_derived(input):
        # Nobody chose this name: it follows from where the clone lies, and somebody has chosen another one since.
        wishes.append(msgspec.structs.replace(payload, name=named.name))
    before = _said_before(info, wishes, identity)
    if before is not None:
        return _answer(operation, payload.repository_id, before)
    payload = wishes[-1]
    event = event_of(info, payload)
    connection = operation.reads.snapshot.connection
    known = queries.by_ids(connection, [payload.repository_id]).get(payload.repository_id)
    if known is not None and known.removed_at is None and _same(known, payload):
        return {"repository": known, "position": known.registered_position}
    _check_name_free(operation, payload.name, payload.repository_id)
    return _answer(operation, payload.repository_id, write(info, event, identity=identity).position)


def _is_derived(given: Mapping[str, object]) -> bool:
    return bool(given.get("name_is_derived")) or not given.get("name")


def _said_before(info: Info, wishes: Sequence[RepositoryRegistered], identity: str) -> Position | None:
    """Where one of the ``wishes`` was said with this request's key. Raises InputRefused when it was used for none of them."""
    for place, wish in enumerate(wishes, start=1):
        try:
            before = earlier(info, event_of(info, wish), identity=identity)
        except InputRefused:
            if place == len(wishes):
                raise
            continue
        if before is not None:
            return before.position
    return None


@mutation.field("removeRepository")
def resolve_remove(_: object, info: Info, repository: str) -> dict[str, object]:
    require_site_admin(info)
    _changed(
        info, repository, RepositoryRemoved(repository_id=ids.repository_id_of(repository, "repository"))
    )
    return {}


@mutation.field("renameRepository")
def resolve_rename(_: object, info: Info, repository: str, name: str) -> dict[str, object]:
    require_site_admin(info)
    identity = ids.repository_id_of(repository, "repository")
    payload = RepositoryRenamed(repository_id=identity, name=new_name(name))
    return _answer(operation_of(info), identity, _changed(info, repository, payload, free_name=payload.name))


@mutation.field("updateMirrorRepository")
def resolve_refresh(_: object, info: Info, repository: str) -> dict[str, object]:
    """Published and not waited for: a hook holds up the one who pushes."""
    operation = operation_of(info)
    number = ids.repository_id_of(repository, "repository")
    known = operation.reads.repositories.get(number)
    if known is None or known.removed_at is not None:
        raise _not_followed(repository)
    event = event_of(info, RepositoryRefreshRequested(repository_id=number))
    operation.renew()  # no transaction is held open while Kafka is waited for
    operation.services.publisher.publish([event])
    return {}


@mutation.field("updateRepository")
def resolve_update(_: object, info: Info, repository: str, input: dict[str, object]) -> dict[str, object]:  # noqa: A002
    require_site_admin(info)
    identity = ids.repository_id_of(repository, "repository")
    payload = _update(identity, input)
    return _answer(operation_of(info), identity, _changed(info, repository, payload))


def _changed(info: Info, node_id: str, payload: Payload, *, free_name: str | None = None) -> Position:
    """Publish a change of a repository that is followed. Raises NOT_FOUND before anything is published."""
    operation = operation_of(info)
    event = event_of(info, payload)
    before = earlier(info, event, identity=node_id)
    if before is not None:
        return before.position
    number = ids.repository_id_of(node_id, "repository")
    known = operation.reads.repositories.get(number)
    if known is None or known.removed_at is not None:
        raise _not_followed(node_id)
    if free_name is not None:
        _check_name_free(operation, free_name, number)
    return write(info, event, identity=node_id).position


def _not_followed(node_id: str) -> ApiError:
    return ApiError(
        Code.NOT_FOUND,
        "This repository is not followed.",
        remedy="Add it first: addRepository, or millstream repo add.",
        field="repository",
        id=node_id,
    )


def _check_name_free(operation: Operation, name: str, repository_id: int) -> None:
    """A courtesy: two repositories of one name are legal on the log, and confuse everybody."""
    namesake = queries.by_name(operation.reads.snapshot.connection, name)
    if namesake is not None and namesake.id != repository_id:
        raise InputRefused("name", f"another repository is called {name}", remedy="Give it another name.")


def _answer(operation: Operation, repository_id: int, position: Position) -> dict[str, object]:
    found = operation.reads.repositories.get(repository_id)
    if found is None:
        raise ApiError(Code.NOT_FOUND, "The repository was removed at the same moment.")
    return {"repository": found, "position": str(position)}


def _update(repository_id: int, given: Mapping[str, object]) -> RepositoryUpdated:
    changed = {name: value for name, value in given.items() if value is not None}
    if not changed:
        raise InputRefused("input", "nothing is to be changed", remedy="Give at least one property.")
    try:
        return msgspec.convert({"repository_id": repository_id, **changed}, RepositoryUpdated)
    except msgspec.ValidationError as error:
        raise InputRefused("input", str(error)) from error


def _same(known: Repository, wanted: RepositoryRegistered) -> bool:
    return all(
        getattr(known, name) == getattr(wanted, name)
        for name in ("name", "path", "clone_url", "fork", "archived", "private")
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


bindables = [mutation]
