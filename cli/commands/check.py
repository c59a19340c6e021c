"""`netbasis check` and `netbasis head`: is the log what it was, and does everything agree with it?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit, harmless, json_text, print_lines, progress
from cli.shared.usage import WrongUsage
from engine.reports.report import Table

if TYPE_CHECKING:
    from engine.proof.check import CheckReport, ExpectedHead, LedgerReport
    from ledger.integrity.findings import Finding

HASH_CHARACTERS = 64
COLUMNS = ("invariant", "version", "expected", "actual", "difference", "detail")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(check)
    app.command()(head)


def check(
    context: typer.Context,
    only: Annotated[
        str | None, typer.Option(metavar="NAME,…", help="Check these invariants only, such as chain,projections_match.")
    ] = None,
    expect_head: Annotated[
        str | None,
        typer.Option(
            metavar="[VERSION:]HASH", help="A head of one book kept elsewhere (see `head`): it must stand in the chain."
        ),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check the file, the schema, the chain, the invariants and the projections, of all books unless --book names one.

    Prints nothing and exits with 0 when everything holds; otherwise prints each finding with its version and exits with 1.
    Notes on what is unusual but allowed, such as
    a negative balance, go to stderr.

    Example: netbasis --db live.db check --expect-head 1204:9f2c…
    """
    from engine.proof.check import NAMES, CheckRequest, SeveralBooks, check_ledger
    from ledger.database.connections import Database

    names = only.split(",") if only else list(NAMES)
    for name in names:
        if name not in NAMES:
            raise WrongUsage(f"no such invariant: {name!r}; there are {', '.join(NAMES)}")
    expected = _expected_head(expect_head)
    named = target(context)
    with Database.open(named.location(), "read") as database, progress("checking") as on_progress:
        try:
            checked = check_ledger(database, named.book, CheckRequest(names, expected, on_progress))
        except SeveralBooks as error:
            raise WrongUsage(str(error)) from None
    _print(output, checked)
    if not checked.ok:
        raise typer.Exit(1)


def _print(output: Output, checked: LedgerReport) -> None:
    """Of one book, the object of a check; of several a list of them, the book named in each line of text.

    What is about the ledger as a whole is told once, but to programs with each book, since it holds of each.
    """
    several = len(checked.books) > 1
    documents = [_document(book, checked.findings) for book in checked.books]
    told = [("", finding) for finding in checked.findings]
    told += [(book.book or "", finding) for book in checked.books for finding in book.findings]
    columns = ("book", *COLUMNS) if several else COLUMNS
    rows = [[*((book or None,) if several else ()), *_row(finding)] for book, finding in told]
    lines = [f"{_of(book if several else '')}{finding_line(finding)}" for book, finding in told]
    if output is Output.JSON:
        print_lines([json_text(documents if len(documents) > 1 else documents[0])])
    else:
        emit(output, {}, lines, Table(columns, rows))
    if output is Output.TEXT:
        for book in checked.books:
            for note in book.notes:
                typer.echo(f"note: {_of(book.book or '' if several else '')}{harmless(note)}", err=True)


def _document(book: CheckReport, of_ledger: list[Finding]) -> dict[str, Any]:
    findings = [*of_ledger, *book.findings]
    return {
        "book": book.book,
        "version": book.head.version,
        "head": book.head.hash,
        "ok": not findings,
        "findings": Table(COLUMNS, [_row(finding) for finding in findings]).as_dicts(),
        "notes": book.notes,
    }


def _row(finding: Finding) -> list[Any]:
    return [getattr(finding, name) for name in COLUMNS]


def _of(book: str) -> str:
    return f"{harmless(book)}: " if book else ""


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
    return harmless(f"{place}: {finding.detail}" + (f"; {', '.join(facts)}" if facts else ""))


def _expected_head(given: str | None) -> ExpectedHead | None:
    from engine.proof.check import ExpectedHead

    if given is None:
        return None
    version, _, digest = given.rpartition(":")
    try:
        hash_bytes = bytes.fromhex(digest)
        if len(digest) != HASH_CHARACTERS or (version and not version.isdecimal()):
            raise ValueError(given)
        return ExpectedHead(hash_bytes, int(version) if version else None)
    except ValueError:
        raise WrongUsage(f"not a head: {given!r}; expected [VERSION:]HASH as `netbasis head` prints it") from None


def head(context: typer.Context, output: OutputOption = Output.TEXT) -> None:
    """Show the newest event's version and hash, to be kept elsewhere.

    A tail that was cut off shows only against a head that was kept: `check --expect-head`.

    Example: netbasis --db live.db head >> somewhere-else.txt
    """
    named = target(context)
    with named.open("read") as keeper:
        view = keeper.view(keeper.resolve(named.book))
    document = {"book": view.book.name, "version": view.head.version, "hash": view.head.hash}
    emit(output, document, [str(view.head)])
