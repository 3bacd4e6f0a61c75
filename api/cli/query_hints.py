"""What a query that was typed may not mean: one line for people."""

import re

_EXAMPLE = 'content:"def "'


def blanks_note(query: str) -> str:
    """A line when blanks at an end of the query are not looked for; empty when there are none."""
    if query == query.strip() or not query.strip():
        return ""
    plain = not re.search(r'[:"\\()]|\b(?:AND|OR|NOT)\b', query, flags=re.IGNORECASE)
    form = f'content:"{query}"' if plain else f"for example {_EXAMPLE}"
    return f"Note: blanks at the ends are not part of the query; quote it: {form}"
