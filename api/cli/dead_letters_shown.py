"""How ``millstream dead-letters`` prints: entries, one whole record, what became of orders."""

import base64
from collections.abc import Sequence
from typing import Final

import click

from api.cli.output import print_json, print_table
from api.commands.hex_dump import hex_lines
from projections.dead_letters.filters import Entry
from projections.dead_letters.outcomes import Carried
from projections.dead_letters.record import Whole
from schemas.envelope import Position

SHOWN_BYTES: Final = 4_096
"""Of a value as hex; all of it is in the JSON form."""


def entry_row(one: Entry) -> tuple[str, ...]:
    """An entry as a row of a table."""
    return (
        one.kind.value,
        one.projection,
        str(one.position),
        safe(one.aggregate) or "-",
        f"{one.waiting:,}" if one.waiting else "-",
        f"{one.append_time:%Y-%m-%d %H:%M:%S}",
        safe(f"{one.path} {one.reason}".strip()),
    )


def safe(text: str) -> str:
    """Foreign text with nothing in it that a terminal obeys."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def plain_entry(one: Entry) -> dict[str, object]:
    """An entry for programs."""
    return {
        "kind": one.kind.value,
        "projection": one.projection,
        "generation": one.generation,
        "position": str(one.position),
        "aggregate": one.aggregate,
        "appendTime": one.append_time,
        "reason": one.reason,
        "path": one.path,
        "sizeBytes": one.size_bytes,
        "waiting": one.waiting,
        "behind": None if one.behind is None else str(Position(one.topic, one.partition, one.behind)),
    }


def plain_whole(one: Whole) -> dict[str, object]:
    """A whole record for programs; bytes in base64, and as text where they are UTF-8."""
    return {
        **plain_entry(one.entry),
        "key": _plain_bytes(one.key),
        "value": _plain_bytes(one.value),
        "headers": [{"name": name, **(_plain_bytes(content) or {})} for name, content in one.headers],
        "trace": one.trace,
        "waitingPositions": [str(at) for at in one.waiting],
    }


def print_whole(one: Whole) -> None:
    """A whole record for people."""
    entry = one.entry
    click.echo(f"{entry.position}  {entry.kind.value} of {entry.projection} (generation {entry.generation})")
    click.echo(f"appended   {entry.append_time:%Y-%m-%d %H:%M:%S.%f} UTC")
    click.echo(f"reason     {safe(f'{entry.path} {entry.reason}'.strip())}")
    if entry.behind is not None:
        click.echo(f"behind     {Position(entry.topic, entry.partition, entry.behind)}")
    if one.waiting:
        shown = ", ".join(str(at.offset) for at in one.waiting)
        click.echo(f"waiting    {entry.waiting:,} events behind it, at {shown}")
    click.echo(f"key        {_words(one.key)}")
    for name, content in one.headers:
        click.echo(f"header     {safe(name)}: {_words(content)}")
    if one.value is None:
        click.echo("value      none")
    else:
        click.echo(f"value      {len(one.value):,} bytes")
        for line in hex_lines(one.value[:SHOWN_BYTES]):
            click.echo(f"  {line}")
        if len(one.value) > SHOWN_BYTES:
            click.echo(f"  ... the first {SHOWN_BYTES:,} bytes; --json has all")
    if one.trace:
        click.echo("trace")
        click.echo("".join(f"  {safe(line)}\n" for line in one.trace.splitlines()), nl=False)


def print_outcomes(
    orders: Sequence[Position], found: Sequence[tuple[str, Carried]], *, as_json: bool, dry_run: bool
) -> None:
    """What became of orders."""
    if as_json:
        print_json(
            {
                "orders": [str(at) for at in orders],
                "dryRun": dry_run,
                "outcomes": [_plain_outcome(projection, one) for projection, one in found],
            }
        )
        return
    print_table(
        ("PROJECTION", "WHAT", "OUTCOME", "FOLDED", "STILL WAITING", "REASON"),
        [
            (
                projection,
                safe(one.aggregate) if one.offset is None else str(one.position),
                _said(one.outcome, dry_run=dry_run),
                f"{one.folded:,}",
                f"{one.waiting:,}",
                safe(f"{'' if one.at_fault is None else one.position} {one.reason}".strip()),
            )
            for projection, one in found
        ],
    )


def _said(outcome: str, *, dry_run: bool) -> str:
    words = outcome.replace("_", " ").lower()
    return f"would be: {words}" if dry_run else words


def _plain_outcome(projection: str, one: Carried) -> dict[str, object]:
    return {
        "projection": projection,
        "topic": one.topic,
        "partition": one.partition,
        "aggregate": one.aggregate or None,
        "position": None if one.position is None else str(one.position),
        "outcome": one.outcome,
        "folded": one.folded,
        "waiting": one.waiting,
        "reason": one.reason,
        "trace": one.trace,
    }


def _plain_bytes(content: bytes | None) -> dict[str, object] | None:
    if content is None:
        return None
    try:
        text: str | None = content.decode()
    except UnicodeDecodeError:
        text = None
    return {"base64": base64.b64encode(content).decode(), "text": text}


def _words(content: bytes | None) -> str:
    """Foreign bytes on one line."""
    return "none" if content is None else safe(content.decode("utf-8", "backslashreplace"))
