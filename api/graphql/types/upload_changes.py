"""Mutations of uploads: delete one."""

from typing import Final

from ariadne import MutationType

from api.commands.errors import ApiError, Code
from api.graphql import ids
from api.graphql.types.info import Info, operation_of
from api.graphql.writing import earlier, event_of, write
from schemas.events import UploadState, UploadStateChanged

mutation = MutationType()
REASON: Final = "direct delete by ID request"
_TRIES: Final = 5


@mutation.field("deletePreciseIndex")
@mutation.field("deleteLSIFUpload")
def resolve_delete(_: object, info: Info, id: str) -> dict[str, object]:  # noqa: A002 - the reference's name
    """An agent may be a moment ahead: then it is asked for again, from the state that the upload has now."""
    number = ids.upload_id_of(id)
    for attempt in range(1, _TRIES + 1):
        change = _deletion(info, number, id)
        if change is None:
            return {}
        event = event_of(info, change)
        if earlier(info, event, identity=id) is not None:
            return {}
        try:
            write(info, event, identity=id)
        except ApiError as error:
            if error.code is not Code.REJECTED or attempt == _TRIES:
                raise
            operation_of(info).renew()
        else:
            return {}
    return {}


def _deletion(info: Info, number: int, identity: str) -> UploadStateChanged | None:
    """What deletes it, from its present state; None where it is deleted or about to be. Raises ApiError NOT_FOUND, NOT_PERMITTED."""
    found = operation_of(info).reads.uploads.get(number)
    if found is None:
        raise ApiError(
            Code.NOT_FOUND,
            "There is no such upload.",
            remedy="Use an id of preciseIndexes.",
            field="id",
            id=identity,
        )
    user = operation_of(info).user
    if found.uploaded_by != user.name and not user.site_admin:
        raise ApiError(
            Code.NOT_PERMITTED,
            "An upload is deleted by whoever sent it, or by a site admin.",
            remedy="Ask one of them.",
            field="id",
            id=identity,
        )
    state = UploadState(found.state)
    if state in (UploadState.DELETING, UploadState.DELETED):
        return None
    after = UploadState.DELETING if state is UploadState.COMPLETED else UploadState.DELETED
    return UploadStateChanged(
        upload_id=found.id,
        repository_id=found.repository_id,
        from_state=state,
        to_state=after,
        reason=REASON,
        attempt=found.num_failures,
        changed_by=user.name,
    )


bindables = [mutation]
