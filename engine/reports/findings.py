"""`check` and `head`: what a check found, and the head to keep elsewhere."""

from __future__ import annotations

import base64
from typing import Any

from engine.bookkeeper import View
from engine.proof.check import CheckReport, LedgerReport
from engine.proof.heads import token_of
from engine.reports.report import Report, Table
from ledger.integrity.findings import Finding

COLUMNS = ("invariant", "version", "expected", "actual", "difference", "detail")


def findings(checked: LedgerReport) -> Report:
    """Of one book, the object of a check; of several a list of them, the book named in each line.

    What is about the ledger as a whole is told once, but to programs with each book, since it holds of each.
    """
    several = len(checked.books) > 1
    documents = [_document(book, checked.findings) for book in checked.books]
    told: list[tuple[str | None, Finding]] = [(None, finding) for finding in checked.findings]
    told += [(book.book, finding) for book in checked.books for finding in book.findings]
    return Report(
        document=documents if several else documents[0],
        body=[f"{_of(book, several)}{finding_line(finding)}" for book, finding in told],
        rows=Table(
            (*(("book",) if several else ()), *COLUMNS),
            [[*((book,) if several else ()), *_row(finding)] for book, finding in told],
        ),
        notes=[f"{_of(book.book, several)}{note}" for book in checked.books for note in book.notes],
    )


def finding_line(finding: Finding) -> str:
    """A finding on one line: invariant, version, detail, expected, actual, difference."""
    place = f"{finding.invariant} at version {finding.version}" if finding.version is not None else finding.invariant
    facts = [
        f"{name} {value}"
        for name, value in (
            ("expected", finding.expected),
            ("actual", finding.actual),
            ("difference", finding.difference),
        )
        if value is not None
    ]
    return f"{place}: {finding.detail}" + (f"; {', '.join(facts)}" if facts else "")


def head(view: View, signature: bytes | None = None) -> Report:
    """A book's newest version and its hash, and the signature of both when it was signed."""
    document: dict[str, object] = {"book": view.book.name, "version": view.head.version, "hash": view.head.hash}
    if signature is not None:
        document["signature"] = base64.b64encode(signature).decode()
    return Report(document, [token_of(view.head, signature)])


def _document(book: CheckReport, of_ledger: list[Finding]) -> dict[str, Any]:
    found = [*of_ledger, *book.findings]
    return {
        "book": book.book,
        "version": book.head.version,
        "head": book.head.hash,
        "ok": not found,
        "findings": Table(COLUMNS, [_row(finding) for finding in found]).as_dicts(),
        "notes": book.notes,
    }


def _row(finding: Finding) -> list[Any]:
    return [getattr(finding, name) for name in COLUMNS]


def _of(book: str | None, several: bool) -> str:
    return f"{book}: " if book and several else ""
