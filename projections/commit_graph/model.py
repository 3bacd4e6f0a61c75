"""What the graph of one repository is made of, and what is made of it. Pure."""

from collections.abc import Mapping
from datetime import datetime

import msgspec


class Upload(msgspec.Struct, frozen=True):
    """A visible upload: it answers at ``commit`` for the folder ``root``."""

    id: int
    commit: bytes
    root: str
    indexer: str


class Ref(msgspec.Struct, frozen=True, kw_only=True):
    """A branch or tag, and the commit that it leads to."""

    name: str
    is_tag: bool
    is_default: bool
    tip: bytes
    committed_at: datetime


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one repository. ``commits`` gives each commit's parents; ``pushed_at`` is when its newest push came."""

    commits: Mapping[bytes, tuple[bytes, ...]]
    refs: tuple[Ref, ...]
    uploads: tuple[Upload, ...]
    pushed_at: datetime | None


class Nearest(msgspec.Struct, frozen=True, order=True):
    """A commit and the uploads that are visible there, each with its distance, by id."""

    commit: bytes
    uploads: tuple[tuple[int, int], ...]


class Link(msgspec.Struct, frozen=True, order=True):
    """A commit that sees what ``ancestor`` sees, ``distance`` further away."""

    commit: bytes
    ancestor: bytes
    distance: int


class AtTip(msgspec.Struct, frozen=True, order=True):
    """An upload that is visible at the tip ``commit`` of the refs ``names``."""

    upload_id: int
    commit: bytes
    names: str
    is_default: bool


class Derived(msgspec.Struct, frozen=True, kw_only=True):
    """What follows for one repository, each list in the order of its keys."""

    nearest: list[Nearest]
    links: list[Link]
    at_tips: list[AtTip]
