"""The body of a message to Slack's incoming webhooks, in blocks. Pure."""

import msgspec

from streams.monitors.delivery.message import Message, excerpts, more, plural, with_source

_SOURCE = "code-monitoring-slack-webhook"


def body_of(message: Message) -> bytes:
    """The bytes that are sent."""
    url = with_source(message.monitor_url, _SOURCE)
    title = f"{_escaped(message.owner)}'s code monitor, *{_escaped(message.description)}*, detected "
    head = f"{title}*{plural(message.count, 'new match', 'new matches')}*."
    if message.is_test:
        head = f"Test message for code monitor *{_escaped(message.description)}*."
    blocks = [_section(head)]
    shown = excerpts(message)
    for one in shown:
        text = one.text.replace("```", "\\`\\`\\`")
        cut = " (shortened)" if one.is_cut else ""
        blocks.append(
            _section(
                f"<{one.url}|{_escaped(one.repository)}@{one.commit[:7]}>{cut}\n```\n{_escaped(text)}\n```"
            )
        )
    if not message.is_test:
        rest = more(message)
        if shown and rest:
            blocks.append(_section(f"...and <{with_source(message.event_url, _SOURCE)}|{plural(rest, 'more match', 'more matches')}>."))  # fmt: skip
        elif not shown:
            blocks.append(_section(f"<{with_source(message.event_url, _SOURCE)}|View results>"))
    blocks.append(_section(f"If you are {_escaped(message.owner)}, you can <{url}|edit your code monitor>."))
    return msgspec.json.encode({"text": head.replace("*", ""), "blocks": blocks})


def _section(text: str) -> dict[str, object]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:3_000]}}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
