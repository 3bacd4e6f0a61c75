"""Every field of the query language, and what this build does with it."""

from enum import StrEnum
from typing import NamedTuple


class Field(StrEnum):
    """Canonical names of fields, in lower case."""

    REPO = "repo"
    REV = "rev"
    FILE = "file"
    LANG = "lang"
    CONTENT = "content"
    TYPE = "type"
    CASE = "case"
    COUNT = "count"
    TIMEOUT = "timeout"
    PATTERN_TYPE = "patterntype"
    SELECT = "select"
    FORK = "fork"
    ARCHIVED = "archived"
    VISIBILITY = "visibility"
    CONTEXT = "context"
    INDEX = "index"
    REPO_HAS_FILE = "repohasfile"
    REPO_HAS_COMMIT_AFTER = "repohascommitafter"
    AUTHOR = "author"
    COMMITTER = "committer"
    BEFORE = "before"
    AFTER = "after"
    MESSAGE = "message"
    MAX = "max"
    STABLE = "stable"
    REPO_GROUP = "repogroup"
    RULE = "rule"


class Rule(NamedTuple):
    """``shown`` is how the field is printed; ``whole_query``: it cannot stand in one operand of an OR."""

    shown: str
    built: bool
    repeatable: bool = False
    negatable: bool = False
    whole_query: bool = False
    refusal: str = ""


_HISTORY = "it needs type:commit or type:diff, by which code monitors look and insights do not count"
_LEGACY = "it is a field of older versions and is not supported"

RULES: dict[Field, Rule] = {
    Field.REPO: Rule("repo", True, repeatable=True, negatable=True),
    Field.FILE: Rule("file", True, repeatable=True, negatable=True),
    Field.LANG: Rule("lang", True, repeatable=True, negatable=True),
    Field.CONTENT: Rule("content", True, negatable=True),
    Field.TYPE: Rule("type", True, repeatable=True, whole_query=True),
    Field.CASE: Rule("case", True),
    Field.COUNT: Rule("count", True, whole_query=True),
    Field.TIMEOUT: Rule("timeout", True, whole_query=True),
    Field.PATTERN_TYPE: Rule("patternType", True, whole_query=True),
    Field.FORK: Rule("fork", True, whole_query=True),
    Field.ARCHIVED: Rule("archived", True, whole_query=True),
    Field.REV: Rule(
        "rev", False, refusal="counting is on the default branch; other revisions are not built yet"
    ),
    Field.SELECT: Rule("select", False, refusal="it is not built yet"),
    Field.VISIBILITY: Rule("visibility", False, refusal="it is not built yet"),
    Field.CONTEXT: Rule("context", False, refusal="search contexts are not built yet"),
    Field.INDEX: Rule("index", False, refusal="there is no index to choose"),
    Field.REPO_HAS_FILE: Rule("repohasfile", False, negatable=True, refusal="it is not built yet"),
    Field.REPO_HAS_COMMIT_AFTER: Rule("repohascommitafter", False, refusal="it is not built yet"),
    Field.AUTHOR: Rule("author", False, repeatable=True, negatable=True, refusal=_HISTORY),
    Field.COMMITTER: Rule("committer", False, negatable=True, refusal=_HISTORY),
    Field.BEFORE: Rule("before", False, refusal=_HISTORY),
    Field.AFTER: Rule("after", False, refusal=_HISTORY),
    Field.MESSAGE: Rule("message", False, repeatable=True, negatable=True, refusal=_HISTORY),
    Field.MAX: Rule("max", False, refusal=_LEGACY),
    Field.STABLE: Rule("stable", False, refusal=_LEGACY),
    Field.REPO_GROUP: Rule("repogroup", False, negatable=True, refusal=_LEGACY),
    Field.RULE: Rule("rule", False, refusal=_LEGACY),
}

ALIASES: dict[str, Field] = {
    **{field.value: field for field in Field},
    "r": Field.REPO,
    "f": Field.FILE,
    "l": Field.LANG,
    "language": Field.LANG,
    "revision": Field.REV,
    "until": Field.BEFORE,
    "since": Field.AFTER,
    "m": Field.MESSAGE,
    "msg": Field.MESSAGE,
    "g": Field.REPO_GROUP,
}
"""Every spelling of every field, in lower case."""

REPO_PREDICATES = frozenset(
    f"{verb}.{what}"
    for verb in ("has", "contains")
    for what in ("file", "path", "content", "commit.after", "description", "tag", "key", "meta", "topic")
) | {"has", "contains", "dependencies", "deps", "dependents", "revdeps"}
FILE_PREDICATES = frozenset(
    f"{verb}.{what}" for verb in ("has", "contains") for what in ("content", "owner", "contributor")
)
