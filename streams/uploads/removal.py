"""What of deleted uploads may be removed from the blob store. Pure.

Blobs are named by what they say, so uploads share them: the index when it was sent twice, packs when documents are the same. One may go
when neither an upload that is kept nor anything else names it. It is set aside then, and removed when it has been there for the time of grace.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from infra.blobs import BlobRef
from projections.uploads.queries import Content, Contents

CLOCKS_APART: Final = timedelta(minutes=5)
"""As far as the clocks of two machines may be."""


class Removing(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done, by SHA-256, in this order. ``done`` are deleted uploads of which nothing of their own is there any more.

    Manifests come last of what is set aside: from them it is known what else there is.
    """

    bring_back: list[str]
    set_aside: list[str]
    remove: list[str]
    done: list[Content]


def named_by(found: Collection[Content], packs: Mapping[str, Collection[str]]) -> set[str]:
    """Everything that these uploads need. ``packs`` are those of each manifest."""
    named: set[str] = set()
    for one in found:
        named.update(_of(one, packs))
    return named


def removing(
    found: Contents,
    packs: Mapping[str, Collection[str]],
    aside: Mapping[str, datetime],
    there: Collection[str],
    now: datetime,
    grace: timedelta,
    elsewhere: Collection[str] = (),
) -> Removing:
    """What is due. ``aside`` is what was set aside, and when; ``there`` what of deleted uploads is in its own place;
    ``elsewhere`` what is named by something that is no upload.

    An upload that is being read may refer to packs of one that was deleted meanwhile, and has said nothing of it yet: what was set
    aside since it began stays.
    """
    named = named_by(found.kept, packs).union(elsewhere)
    manifests = {one.manifest.sha256 for one in found.left if one.manifest is not None}
    left = {digest for one in found.left for digest in _of(one, packs)} - named
    since = found.processing_since
    return Removing(
        bring_back=sorted(set(aside) & named),
        set_aside=sorted(left & set(there), key=lambda digest: (digest in manifests, digest)),
        remove=sorted(
            digest
            for digest, at in aside.items()
            if digest not in named and now - at >= grace and (since is None or at < since - CLOCKS_APART)
        ),
        done=[
            one
            for one in found.left
            if not any(
                digest not in named and (digest in aside or digest in there) for digest in _of(one, packs)
            )
        ],
    )


def manifests_of(found: Collection[Content]) -> dict[str, BlobRef]:
    """Each once."""
    return {one.manifest.sha256: one.manifest for one in found if one.manifest is not None}


def _of(one: Content, packs: Mapping[str, Collection[str]]) -> set[str]:
    found = set() if one.index is None else {one.index}
    if one.manifest is not None:
        found |= {one.manifest.sha256, *packs.get(one.manifest.sha256, ())}
    return found
