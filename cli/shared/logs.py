"""Structured logs on stderr, one record per line: `key=value` for people and journals, or JSON.

A record's message is its name, and its attribute `fields` its content. A line has the time of what it reports (`at`), but no
wall-clock time, so the same run logs the same lines; a journal adds the time itself.
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
    """The lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """The format of a log line."""

    TEXT = "text"
    JSON = "json"


LogLevelOption: TypeAlias = Annotated[
    LogLevel, typer.Option("--log-level", help="The lowest level that is logged to stderr.")
]
LogFormatOption: TypeAlias = Annotated[
    LogFormat, typer.Option("--log-format", help="text: level and key=value pairs; json: one object per line.")
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
