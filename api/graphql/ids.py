"""Node ids as the reference makes them: URL-safe base64 of ``Kind:`` and the JSON of the key."""

import base64
import binascii

import orjson

from api.commands.errors import InputRefused

INSIGHT = "insight_view"
"""Its key is a string, as in the reference."""
REPOSITORY = "Repository"
USER = "User"
ORG = "Org"
ACCESS_TOKEN = "AccessToken"
SITE = "site"
SCIP_UPLOAD = "SCIPUpload"
LSIF_UPLOAD = "LSIFUpload"
UPLOADS = frozenset((SCIP_UPLOAD, LSIF_UPLOAD))
"""Both name the same uploads: command-line clients make their links of either."""
MONITOR = "CodeMonitor"
MONITOR_QUERY = "CodeMonitorTriggerQuery"
MONITOR_EVENT = "CodeMonitorTriggerEvent"
"""Its key is ``<monitor>/<run>``; those of actions and what they sent likewise."""
MONITOR_EMAIL = "CodeMonitorActionEmail"
MONITOR_WEBHOOK = "CodeMonitorActionWebhook"
MONITOR_SLACK_WEBHOOK = "CodeMonitorActionSlackWebhook"
MONITOR_ACTION_EVENT = "CodeMonitorActionEvent"


def node_id(kind: str, key: int | str) -> str:
    """``insight_view:"12"`` or ``Repository:12``, in base64."""
    return base64.urlsafe_b64encode(kind.encode() + b":" + orjson.dumps(key)).decode()


def insight_node_id(insight_id: int) -> str:
    return node_id(INSIGHT, str(insight_id))


def repository_node_id(repository_id: int) -> str:
    return node_id(REPOSITORY, repository_id)


def parse_node_id(text: str, field: str = "id") -> tuple[str, str]:
    """(kind, key as text). Raises InputRefused."""
    try:
        kind, separator, key = base64.urlsafe_b64decode(text.encode()).partition(b":")
        value = orjson.loads(key)
        if not separator or not isinstance(value, int | str) or isinstance(value, bool):
            raise ValueError
        return kind.decode("ascii"), str(value)
    except (binascii.Error, ValueError) as error:
        raise InputRefused(field, f"{text!r} is no id", remedy="Use an id that the API gave.") from error


def insight_id_of(text: str, field: str = "id") -> int:
    """The insight's number. Raises InputRefused for an id of another kind."""
    return _number(text, INSIGHT, field)


def repository_id_of(text: str, field: str = "id") -> int:
    """The repository's number. Raises InputRefused for an id of another kind."""
    return _number(text, REPOSITORY, field)


def upload_node_id(upload_id: int) -> str:
    return node_id(SCIP_UPLOAD, upload_id)


def upload_id_of(text: str, field: str = "id") -> int:
    """The upload's number. Raises InputRefused for an id of another kind."""
    kind, key = parse_node_id(text, field)
    if kind not in UPLOADS or not key.isascii() or not key.isdigit():
        raise InputRefused(
            field, f"{text!r} is no id of this kind", remedy=f"An id of kind {SCIP_UPLOAD} is needed."
        )
    return int(key)


def user_node_id(user_id: int) -> str:
    return node_id(USER, user_id)


def user_id_of(text: str, field: str = "user") -> int:
    """The user's number. Raises InputRefused for an id of another kind."""
    return _number(text, USER, field)


def organization_id_of(text: str, field: str = "organization") -> int:
    """The organisation's number. Raises InputRefused for an id of another kind."""
    return _number(text, ORG, field)


def token_id_of(text: str, field: str = "byID") -> int:
    """The token's number. Raises InputRefused for an id of another kind."""
    return _number(text, ACCESS_TOKEN, field)


def monitor_id_of(text: str, field: str = "id") -> int:
    """The monitor's number. Raises InputRefused for an id of another kind."""
    return _number(text, MONITOR, field)


def monitor_query_id_of(text: str, field: str = "id") -> int:
    """The number of the monitor whose trigger this is. Raises InputRefused for an id of another kind."""
    return _number(text, MONITOR_QUERY, field)


def monitor_part_of(text: str, kind: str, field: str = "id") -> tuple[int, int]:
    """(monitor, number of its part). Raises InputRefused for an id of another kind."""
    found, key = parse_node_id(text, field)
    pair = monitor_part(key)
    if found != kind or pair is None:
        raise InputRefused(
            field, f"{text!r} is no id of this kind", remedy=f"An id of kind {kind} is needed."
        )
    return pair


def monitor_part(key: str) -> tuple[int, int] | None:
    """The two numbers in the key of a monitor's part."""
    monitor, _, part = key.partition("/")
    if not all(one.isascii() and one.isdigit() for one in (monitor, part)):
        return None
    return int(monitor), int(part)


def _number(text: str, kind: str, field: str) -> int:
    found, key = parse_node_id(text, field)
    if found != kind or not key.isascii() or not key.isdigit():
        raise InputRefused(
            field, f"{text!r} is no id of this kind", remedy=f"An id of kind {kind} is needed."
        )
    return int(key)
