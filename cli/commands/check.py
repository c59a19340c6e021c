"""`netbasis check`: is the log what it was, and does everything agree with it?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.shared.options import Engine, EngineOption, Output, OutputOption, target
from cli.shared.output import emit_report, progress
from cli.shared.usage import WrongUsage

if TYPE_CHECKING:
    from engine.proof.heads import ExpectedHead


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


def check(
    context: typer.Context,
    only: Annotated[
        str | None, typer.Option(metavar="NAME,…", help="Check these invariants only, such as chain,projections_match.")
    ] = None,
    expect_head: Annotated[
        str | None,
        typer.Option(
            metavar="[VERSION:]HASH[:SIGNATURE]",
            help="A head of one book kept elsewhere (see `head`): it must stand in the chain.",
        ),
    ] = None,
    heads: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A file of heads (`head --append`): each must stand in the chain, in order."),
    ] = None,
    verify: Annotated[
        Path | None, typer.Option(metavar="PUBLIC", help="The heads must be signed; this is the public key.")
    ] = None,
    anchor: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="An authority's answer (RFC 3161): it must have stamped the expected head."),
    ] = None,
    authority: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The authority's certificates (PEM), for --anchor; all offline.")
    ] = None,
    engine: EngineOption = Engine.ROWS,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Workers that read the log (1: none). By default one for each core, for a long log.",
        ),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check the file, the schema, the chain, the invariants and the projections, of all books unless --book names one.

    Prints nothing and exits with 0 when everything holds; otherwise prints each finding with its version and exits with 1.
    Notes on what is unusual but allowed, such as
    a negative balance, go to stderr. Every row is read, unless --engine columns is given: sealed rows are then proved in
    their segments, and a note says which were not read.

    Heads that were kept elsewhere show what the chain alone cannot: a tail that was cut off, a log that was rewritten.

    Example: netbasis --db live.db check --heads /mnt/elsewhere/heads.ndjson --verify desk.pub
    """
    from engine.proof.check import SeveralBooks, check_ledger
    from engine.proof.heads import read_heads
    from engine.proof.request import NAMES, CheckRequest
    from engine.proof.vouched import Vouching, vouch
    from engine.reports.findings import findings
    from ledger.database.connections import Database

    names = only.split(",") if only else list(NAMES)
    for name in names:
        if name not in NAMES:
            raise WrongUsage(f"no such invariant: {name!r}; there are {', '.join(NAMES)}")
    expected = _expected_head(expect_head)
    _require_heads(expected, heads, verify, anchor, authority)
    kept = [] if heads is None else read_heads(heads)
    named = target(context)
    with Database.open(named.location(), "read") as database, progress("checking") as on_progress:
        try:
            wanted = CheckRequest(
                names, expected, on_progress, engine=engine.value, kept_heads=kept, processes=processes
            )
            checked = check_ledger(database, named.book, wanted)
        except SeveralBooks as error:
            raise WrongUsage(str(error)) from None
    vouching = Vouching(verify, anchor, authority)
    found, notes = vouch(vouching, checked, [*([expected] if expected is not None else []), *kept])
    checked.findings.extend(found)
    checked.books[0].notes.extend(notes)
    emit_report(output, findings(checked))
    if not checked.ok:
        raise typer.Exit(1)


def _require_heads(
    expected: ExpectedHead | None, heads: Path | None, verify: Path | None, anchor: Path | None, authority: Path | None
) -> None:
    if (anchor is None) != (authority is None):
        raise WrongUsage("--anchor and --authority belong together: the authority's answer, and its certificates")
    if anchor is not None and (expected is None or expected.version is None):
        raise WrongUsage("--anchor is about one head: give it with --expect-head VERSION:HASH")
    if verify is not None and expected is None and heads is None:
        raise WrongUsage("--verify is about heads: give them with --expect-head or --heads")


def _expected_head(given: str | None) -> ExpectedHead | None:
    from engine.proof.heads import parse_head

    if given is None:
        return None
    found = parse_head(given)
    if found is None:
        raise WrongUsage(f"not a head: {given!r}; expected [VERSION:]HASH[:SIGNATURE] as `netbasis head` prints it")
    return found
