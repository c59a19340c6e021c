"""Structured logs on stderr: a line a record, `key=value` for people and journals, or JSON.

A record's message is its event's name, its attribute `fields` what it says. No wall clock stands in the line: the event's
own time does (`at`), so the same run logs the same lines; a journal adds when they came.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any, TypeAlias

import typer

from cli.shared.output import harmless, json_text, jsonable


class LogLevel(StrEnum):
    """From which level on records are shown."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a record is shown."""

    TEXT = "text"
    JSON = "json"


LogLevelOption: TypeAlias = Annotated[LogLevel, typer.Option("--log-level", help="What is logged to stderr.")]
LogFormatOption: TypeAlias = Annotated[
    LogFormat, typer.Option("--log-format", help="text: level and key=value pairs; json: an object a line.")
]


class _Formatter(logging.Formatter):
    def __init__(self, form: LogFormat) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        fields: Mapping[str, Any] = getattr(record, "fields", {})
        document = {"level": record.levelname.lower(), "event": record.getMessage(), **jsonable(fields)}
        if self._form is LogFormat.JSON:
            return json_text(document)
        return " ".join(f"{name}={_value(field)}" for name, field in document.items())


def _value(field: Any) -> str:
    text = harmless(str(field))
    return json_text(text) if not text or any(character in text for character in ' "=') else text


@contextmanager
def logging_to_stderr(level: LogLevel, form: LogFormat) -> Iterator[None]:
    """Within it, records of the logger `netbasis` and below go to stderr."""
    logger, handler = logging.getLogger("netbasis"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(form))
    logger.setLevel(level.upper())
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
