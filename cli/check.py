"""`netbasis check` and `netbasis head`: is the log what it was, and does everything agree with it?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Output, OutputOption, target
from cli.output import Table, emit, harmless, progress
from cli.usage import WrongUsage

if TYPE_CHECKING:
    from engine.check import ExpectedHead
    from ledger.findings import Finding

HASH_CHARACTERS = 64


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
        typer.Option(metavar="[VERSION:]HASH", help="A head kept elsewhere (see `head`): it must stand in the chain."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check the file, the chain, the invariants and the projections.

    Silent and 0 when all holds; else each finding with its version, and 1. Notes on what is unusual but allowed, such as
    a negative balance, go to stderr.

    Example: netbasis --db live.db check --expect-head 1204:9f2c…
    """
    from engine.check import NAMES
    from engine.check import check as run

    names = only.split(",") if only else list(NAMES)
    for name in names:
        if name not in NAMES:
            raise WrongUsage(f"no such invariant: {name!r}; there are {', '.join(NAMES)}")
    expected = _expected_head(expect_head)
    named = target(context)
    with named.open("read") as keeper, progress("checking") as on_progress:
        book = keeper.resolve(named.book)
        checked = run(keeper.database, book, only=names, expected_head=expected, on_progress=on_progress)
    columns = ("invariant", "version", "expected", "actual", "difference", "detail")
    table = Table(columns, [[getattr(finding, name) for name in columns] for finding in checked.findings])
    document = {
        "book": book,
        "version": checked.head.version,
        "head": checked.head.hash,
        "ok": checked.ok,
        "findings": table.as_dicts(),
        "notes": checked.notes,
    }
    emit(output, document, [finding_line(finding) for finding in checked.findings], table)
    if output is Output.TEXT:
        for note in checked.notes:
            typer.echo(f"note: {note}", err=True)
    if not checked.ok:
        raise typer.Exit(1)


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
    from engine.check import ExpectedHead

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
    emit(output, document, [f"{view.head.version}:{view.head.hash.hex()}"])
