"""Refusals for programs: an object on stdout, so that a bot need not parse text; and the file of rejected lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cli.shared.options import Output
from cli.shared.output import json_text, print_for_programs
from cli.shared.usage import WrongUsage
from ledger.errors import NetbasisError

_LINE = "line "


def refusal_object(error: NetbasisError) -> dict[str, Any]:
    """An error as `{"line","code","field","expected","actual"}`; null for what it does not have."""
    line = error.where.removeprefix(_LINE) if error.where and error.where.startswith(_LINE) else ""
    return {
        "line": int(line) if line.isdecimal() else None,
        "code": error.code,
        "field": getattr(error, "field", None),
        "expected": error.expected,
        "actual": error.actual,
    }


@contextmanager
def refusals_on_stdout(output: Output) -> Iterator[None]:
    """Within it, an error is also printed as an object on stdout when the output is JSON or NDJSON."""
    try:
        yield
    except NetbasisError as error:
        if output in (Output.JSON, Output.NDJSON):
            print_for_programs([json_text(refusal_object(error))])
        raise


class Rejects:
    """The file that bad lines are appended to, as JSON objects: line number, refusal, and the line as given.

    on_stdout:  whether a refusal is also printed as an object on stdout (with JSON or NDJSON output)
    count:      how many lines were rejected
    """

    def __init__(self, path: str, output: Output) -> None:
        self.on_stdout = output in (Output.JSON, Output.NDJSON)
        try:
            self._file = Path(path).open("ab")  # noqa: SIM115 - this class is the context manager
        except (OSError, ValueError) as error:
            raise WrongUsage(f"--rejects {path!r} cannot be written: {error}") from error
        self._start = self._file.tell()
        self.count = 0

    def add(self, error: NetbasisError, line: bytes) -> None:
        """Add a rejected line and its error."""
        given = line.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
        self._file.write(f"{json_text({**refusal_object(error), 'reason': str(error), 'given': given})}\n".encode())
        self._file.flush()
        self.count += 1
        if self.on_stdout:
            print_for_programs([json_text(refusal_object(error))])

    def begin_anew(self) -> None:
        """Remove what was added, since the lines will be read again."""
        self._file.truncate(self._start)
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
