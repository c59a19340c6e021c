"""`netbasis inbox`: imported movements that wait for a person."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.shared.ages import parse_age
from cli.shared.capital_options import ActorOption, NoteOption, PriceOption
from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit, emit_report
from cli.shared.prices import parse_prices
from cli.shared.usage import WrongUsage
from ledger.times import parse_time

if TYPE_CHECKING:
    from engine.bookkeeper import Bookkeeper
    from engine.importers.deciding import Answer
    from engine.importers.pairing import Pairing

Number = Annotated[int, typer.Argument(metavar="ID", min=1, help="The entry's number, as `netbasis inbox` shows it.")]


class EntryKind(StrEnum):
    """What an entry is."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    ADJUSTMENT = "adjustment"
    INTERNAL = "internal"
    TRANSFER = "transfer"


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Show and settle the imported movements that wait.", invoke_without_command=True)
    group.callback()(inbox)
    group.command()(resolve)
    group.command()(dismiss)
    app.add_typer(group, name="inbox")


def inbox(
    context: typer.Context,
    all_of_them: Annotated[bool, typer.Option("--all", help="Also show settled entries.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show the imported movements that wait for a person: a deposit without a price, a withdrawal that is not classified.

    While one waits, `withdraw` is refused, since it would be classified without it. `inbox resolve ID` gives what is
    missing; `inbox dismiss ID` says that it is no movement of the book.

    Example: netbasis --db live.db inbox
    """
    if context.invoked_subcommand is not None:
        return
    from engine.reports.inbox import inbox_report

    named = target(context)
    with named.open("read") as keeper:
        found = inbox_report(keeper.database, keeper.resolve(named.book), all_of_them=all_of_them)
    emit_report(output, found)


def resolve(
    context: typer.Context,
    number: Number,
    price: PriceOption = None,
    basis: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="What it adds to net basis, instead of the computed amount.")
    ] = None,
    basis_unknown: Annotated[
        bool, typer.Option("--basis-unknown", help="For a deposit: its basis is not known.")
    ] = False,
    max_mark_age: Annotated[str, typer.Option(metavar="AGE", help="How old a mark that values it may be.")] = "1h",
    named_as: Annotated[
        EntryKind | None,
        typer.Option(
            "--as",
            help="Of a difference: deposit, withdrawal or adjustment. Of a movement with another side: internal, when it "
            "moved between two accounts of this book; transfer, when the other side waits in another book.",
        ),
    ] = None,
    other: Annotated[
        str | None,
        typer.Option(metavar="[BOOK:]ID", help="The entry that is the other side, where no hash says so."),
    ] = None,
    other_version: Annotated[
        str | None,
        typer.Option(
            metavar="[BOOK:]VERSION", help="The recorded event that is the other side, where no hash says so."
        ),
    ] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="For a difference: when it happened.")] = None,
    actor: ActorOption = None,
    source_note: NoteOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Give what an entry lacks, and record it.

    Where earlier rows are still held back, the answer is kept, and the entry is recorded when the files are imported
    again, so that a withdrawal is classified in its place; one that later rows have passed is recorded as late.

    --as internal settles both sides of a movement between two venues of one book: it is no capital. --as transfer
    records a withdrawal and a deposit that wait in two books as one transfer, which keeps its basis.

    Example: netbasis --db live.db inbox resolve 1 --price XRP=1.33
    """
    from engine.importers.deciding import Answer
    from engine.importers.resolving import resolve as run
    from ledger.amounts import parse_amount

    named = target(context)
    delta: Decimal | None = None if basis is None else parse_amount(basis)
    with named.open("write") as keeper:
        book = keeper.terms(named.book)
        prices = {asset: each.price for asset, each in parse_prices(price or (), book, named.now).items()}
        answer = Answer(
            prices=prices,
            basis_delta=delta,
            basis_unknown=basis_unknown,
            max_mark_age=parse_age(max_mark_age),
            actor=actor,
            note=source_note,
        )
        if named_as in (EntryKind.INTERNAL, EntryKind.TRANSFER):
            _emit_pairing(output, book.name, _paired(keeper, book.name, number, named_as, answer, other, other_version))
            return
        if other is not None or other_version is not None:
            raise WrongUsage("--other and --other-version go with --as internal or --as transfer")
        when = None if at is None else parse_time(at)
        named_value: Any = None if named_as is None else named_as.value
        done = run(keeper, book.name, number, answer, named=named_value, at=when)
    stored = done.stored
    document: dict[str, Any] = {
        "book": book.name,
        "id": done.entry.id,
        "status": done.entry.status,
        "version": stored.version if stored else None,
        "key": stored.key if stored else None,
    }
    if stored is None:
        text = f"entry {number} is answered; import the files again, and it is recorded when its turn comes"
    else:
        text = f"entry {number} is the {stored.type} at version {stored.version}, key {stored.key}"
    emit(output, document, [text])


def _paired(
    keeper: Bookkeeper,
    book: str,
    number: int,
    named_as: EntryKind,
    answer: Answer,
    other: str | None,
    other_version: str | None,
) -> Pairing:
    from engine.importers import pairing

    if other is not None and other_version is not None:
        raise WrongUsage("the other side is one: give --other or --other-version")
    side = None
    if other is not None:
        there, entry = _place("--other", other, "ID or BOOK:ID, such as bot:3")
        side = pairing.SideReference(there, entry=entry)
    elif other_version is not None:
        there, version = _place("--other-version", other_version, "VERSION or BOOK:VERSION, such as bot:7")
        side = pairing.SideReference(there, version=version)
    if named_as is EntryKind.TRANSFER:
        return pairing.resolve_transfer(keeper, book, number, answer, side)
    return pairing.resolve_internal(keeper, book, number, side, actor=answer.actor)


def _place(option: str, text: str, such: str) -> tuple[str | None, int]:
    """The book, None for this one, and the number of `[BOOK:]NUMBER`."""
    book, _, number = text.rpartition(":")
    if not (number.isascii() and number.isdecimal() and 0 < int(number) < 2**63):
        raise WrongUsage(f"{option}: {text!r} is no {option.strip('-').replace('-', ' ')}; expected {such}")
    return book or None, int(number)


def _emit_pairing(output: Output, book: str, done: Pairing) -> None:
    from ledger.amounts import ZERO, amount_text

    document = {
        "book": book,
        "id": done.entry.id,
        "status": done.entry.status,
        "other": done.other,
        "reversed": done.reversed,
        "fee": done.fee,
        "sent": done.sent,
        "received": done.received,
    }
    fee = f", with a fee of {amount_text(done.fee)} {done.entry.asset}" if done.fee > ZERO else ""
    lines = [f"entry {done.entry.id} and {done.other} moved between two accounts of {book}, no capital{fee}"]
    if done.reversed is not None:
        lines.append(f"what was recorded is reversed, at version {done.reversed}")
    if done.sent is not None:
        lines = [f"entry {done.entry.id} and {done.other} are a transfer, {done.sent} to {done.received}{fee}"]
    emit(output, document, lines)


def dismiss(
    context: typer.Context,
    number: Number,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why it is no movement of the book.")],
    actor: ActorOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say that an entry is no movement of the book; the row does not come back when it is imported again.

    Example: netbasis --db live.db inbox dismiss 2 --reason "a transfer between my own accounts"
    """
    from engine.importers.resolving import dismiss as run

    named = target(context)
    with named.open("write") as keeper:
        book = keeper.resolve(named.book)
        done = run(keeper, book, number, reason, actor)
    emit(output, {"book": book, "id": done.id, "status": done.status}, [f"entry {number} is dismissed"])
