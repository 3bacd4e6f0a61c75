"""Structured logs: one event per line, each with an ``action``; JSON, or coloured text on a terminal.

Use ``log = structlog.get_logger()`` and ``log.info("batch_applied", projection=..., events=...)``: the first
argument becomes ``action``. Standard loggers (faust, kafka, uvicorn, ...) run through the same processors.
"""

import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, Final, Literal, TextIO

import structlog

from infra.settings import Settings

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_NOISY: Final = {
    "faust": logging.WARNING,
    "mode": logging.WARNING,
    "aiokafka": logging.WARNING,
    "kafka": logging.WARNING,
    "kafka.admin": logging.ERROR,  # it cannot read what Faust's members say of themselves, nor has it to
    "kafka.net": logging.ERROR,  # that a busy machine keeps it waiting is no fault of anybody's
    "confluent_kafka": logging.WARNING,
    "uvicorn": logging.INFO,
    "uvicorn.access": logging.WARNING,
    "httpx": logging.WARNING,
    "asyncio": logging.WARNING,
    "sqlalchemy": logging.WARNING,
}
"""Libraries that speak of what is normal: heard from these levels on, unless our own level is debug."""

Fields = MutableMapping[str, Any]


def configure(
    process: str,
    *,
    json: bool | None = None,
    level: Literal["debug", "info", "warning", "error"] = "info",
    stream: TextIO | None = None,
) -> None:
    """Send all logs of this process to one place. May be called again; the last call counts.

    Args:
        process: stands on every line (``worker``, ``projector``, ``api``, ...).
        json: None: text when the stream is a terminal, else JSON.
        level: the least level that is written.
        stream: None: standard error.
    """
    out = sys.stderr if stream is None else stream
    as_json = not out.isatty() if json is None else json
    threshold = _LEVELS[level]
    shared: list[Callable[..., Any]] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _named(process),
    ]
    ending: list[Callable[..., Any]]
    if as_json:
        ending = [
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("action"),
            structlog.processors.JSONRenderer(sort_keys=False),
        ]
    else:
        ending = [
            structlog.dev.ConsoleRenderer(
                colors=out.isatty(),
                timestamp_key="time",
                # Not the library's own choice: it prints local variables, and with them passwords.
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _foreign],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name, least in _NOISY.items():
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(threshold if threshold == logging.DEBUG else max(least, threshold))
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def configure_from(settings: Settings, process: str) -> None:
    """:func:`configure` with the settings' format and level."""
    json = None if settings.log_format == "auto" else settings.log_format == "json"
    configure(process, json=json, level=settings.log_level)


def _named(process: str) -> Callable[[Any, str, Fields], Fields]:
    def add(_: Any, __: str, fields: Fields) -> Fields:
        fields["process"] = process
        return fields

    return add


def _foreign(_: Any, __: str, fields: Fields) -> Fields:
    """A library's sentence is its message; what it did, for searching, is that the library said something."""
    record = fields.get("_record")
    fields["logger"] = record.name if isinstance(record, logging.LogRecord) else "unknown"
    fields["message"] = fields.get("event")
    fields["event"] = "library_said"
    return fields
