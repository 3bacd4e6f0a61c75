"""The derived rows of a commit graph, as the naive implementation says them."""

from typing import Any

import msgspec
import psycopg

from tests.support.naive_graph import NaiveRows


def rows_of(connection: psycopg.Connection[Any], repository: int) -> NaiveRows:
    """Those of one repository. The connection has the generation's search path."""
    nearest = connection.execute(
        "select commit_bytea, uploads from lsif_nearest_uploads where repository_id = %s", (repository,)
    ).fetchall()
    links = connection.execute(
        "select commit_bytea, ancestor_commit_bytea, distance from lsif_nearest_uploads_links"
        " where repository_id = %s",
        (repository,),
    ).fetchall()
    tips = connection.execute(
        "select upload_id, commit_bytea, branch_or_tag_name, is_default_branch"
        " from lsif_uploads_visible_at_tip where repository_id = %s",
        (repository,),
    ).fetchall()
    return msgspec.convert(
        (
            {
                commit.hex(): {int(one): far for one, far in uploads.items()}
                for commit, uploads in msgspec.convert(
                    nearest, list[tuple[bytes, dict[str, int]]], builtin_types=(bytes,)
                )
            },
            {
                commit.hex(): (ancestor.hex(), distance)
                for commit, ancestor, distance in msgspec.convert(
                    links, list[tuple[bytes, bytes, int]], builtin_types=(bytes,)
                )
            },
            {
                (upload, commit.hex()): (names, default)
                for upload, commit, names, default in msgspec.convert(
                    tips, list[tuple[int, bytes, str, bool]], builtin_types=(bytes,)
                )
            },
        ),
        NaiveRows,
    )
