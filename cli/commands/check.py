"""`netbasis check` and `netbasis head`: is the log what it was, and does everything agree with it?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.shared.options import Engine, EngineOption, Output, OutputOption, target
from cli.shared.output import emit_report, progress
from cli.shared.usage import WrongUsage

if TYPE_CHECKING:
    from engine.proof.request import ExpectedHead

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
        typer.Option(
            metavar="[VERSION:]HASH", help="A head of one book kept elsewhere (see `head`): it must stand in the chain."
        ),
    ] = None,
    engine: EngineOption = Engine.ROWS,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check the file, the schema, the chain, the invariants and the projections, of all books unless --book names one.

    Prints nothing and exits with 0 when everything holds; otherwise prints each finding with its version and exits with 1.
    Notes on what is unusual but allowed, such as
    a negative balance, go to stderr. Every row is read, unless --engine columns is given: sealed rows are then proved in
    their segments, and a note says which were not read.

    Example: netbasis --db live.db check --expect-head 1204:9f2c…
    """
    from engine.proof.check import SeveralBooks, check_ledger
    from engine.proof.request import NAMES, CheckRequest
    from engine.reports.findings import findings
    from ledger.database.connections import Database

    names = only.split(",") if only else list(NAMES)
    for name in names:
        if name not in NAMES:
            raise WrongUsage(f"no such invariant: {name!r}; there are {', '.join(NAMES)}")
    expected = _expected_head(expect_head)
    named = target(context)
    with Database.open(named.location(), "read") as database, progress("checking") as on_progress:
        try:
            checked = check_ledger(
                database, named.book, CheckRequest(names, expected, on_progress, engine=engine.value)
            )
        except SeveralBooks as error:
            raise WrongUsage(str(error)) from None
    emit_report(output, findings(checked))
    if not checked.ok:
        raise typer.Exit(1)


def _expected_head(given: str | None) -> ExpectedHead | None:
    from engine.proof.request import ExpectedHead

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
    from engine.reports.findings import head as report

    named = target(context)
    with named.open("read") as keeper:
        found = report(keeper, keeper.resolve(named.book))
    emit_report(output, found)
