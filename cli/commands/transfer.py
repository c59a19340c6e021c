"""`netbasis transfer`: move capital to another book of the ledger, and its basis with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.shared.ages import parse_age
from cli.shared.capital_options import (
    ActorOption,
    AmountArgument,
    AmountOption,
    AssetOption,
    AtOption,
    DryRunOption,
    KeyOption,
    NoteOption,
    PriceOption,
    TxHashOption,
    the_amount,
)
from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit, shown, text_table
from cli.shared.prices import parse_prices
from cli.shared.refusals import refusals_on_stdout
from cli.shared.usage import WrongUsage
from engine.reports.report import Table, signed
from ledger.amounts import parse_amount, subtract
from ledger.errors import Refused

if TYPE_CHECKING:
    from engine.capital import BeforeAfter, Fee, LinkOutcome, Place, TransferOutcome, TransferPlan


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(transfer)


def transfer(
    context: typer.Context,
    amount: AmountArgument = None,
    amount_option: AmountOption = None,
    to: Annotated[str | None, typer.Option("--to", metavar="BOOK", help="The book that it moves to.")] = None,
    link: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--link",
            metavar="BOOK:VERSION BOOK:VERSION",
            help="Instead of an amount: tie a withdrawal and a deposit that were recorded apart.",
        ),
    ] = None,
    asset: AssetOption = None,
    fee: Annotated[
        str | None,
        typer.Option(
            "--fee",
            metavar="[ASSET=]AMOUNT",
            help="The network fee, on top of the amount that arrives; by default in the asset that moves.",
        ),
    ] = None,
    price: PriceOption = None,
    max_mark_age: Annotated[
        str, typer.Option(metavar="AGE", help="How old a mark may be at the transfer's time, such as 90s, 15m, 2h.")
    ] = "15m",
    source_note: NoteOption = None,
    tx_hash: TxHashOption = None,
    key: KeyOption = None,
    at: AtOption = None,
    late: Annotated[
        bool,
        typer.Option(
            "--late",
            help="Decide on the present state, although balances have moved since --at; the event keeps its own time.",
        ),
    ] = False,
    even_so: Annotated[
        bool, typer.Option("--even-so", help="Decide although imported movements wait in the sender's inbox.")
    ] = False,
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Move capital to another book of the ledger, with its basis; PnL moves in neither.

    The sender's policy divides the amount as it divides a withdrawal. Of 50 with 20 of profit and 30 of principal the
    sender's basis falls by 30 and the receiver's rises by 30, so that the 20 are profit there too. Both sides are one
    transaction, and reversing one reverses both. --link ties two movements that were recorded apart.

    Example: netbasis --db live.db --book desk transfer 50 --to bot --fee 0.10 --dry-run
    """
    if link is not None:
        if amount is not None or amount_option is not None or to is not None:
            raise WrongUsage("--link ties two events that are recorded: leave the amount and --to out")
        _link(context, link, actor, dry_run, output)
        return
    from engine.capital import Movement, TransferRequest
    from engine.capital import transfer as run

    if to is None:
        raise WrongUsage("say to which book: netbasis transfer 50 --to BOOK")
    named = target(context)
    movement = Movement(the_amount(amount, amount_option, "transfer"), asset, source_note, tx_hash, at, actor, key)
    age = parse_age(max_mark_age)
    with refusals_on_stdout(output), named.open("read" if dry_run else "write") as keeper:
        book = keeper.terms(named.book)
        prices = parse_prices(price or (), book, keeper.now())
        request = TransferRequest(movement, to, _fee(fee), prices, age, late, even_so)
        done = run(keeper, book.name, request, dry_run=dry_run)
    emit(output, _document(done), _lines(done))


def _fee(text: str | None) -> Fee | None:
    from engine.capital import Fee

    if text is None:
        return None
    asset, equals, amount = text.rpartition("=")
    try:
        parsed = parse_amount(amount)
    except Refused as refused:
        raise WrongUsage(f"--fee {text!r}: {refused}") from refused
    if parsed <= 0 or (equals and not asset):
        raise WrongUsage(f"--fee {text!r}: expected an amount more than 0, such as 0.10 or XRP=0.000012")
    return Fee(parsed, asset or None)


def _document(done: TransferOutcome) -> dict[str, Any]:
    stored = done.existing or (tuple(each.stored for each in done.recorded) if done.recorded else None)
    document: dict[str, Any] = {
        "book": done.book.name,
        "to": done.to.name,
        "written": done.recorded is not None,
        "existed": done.existing is not None,
        "version": stored[0].version if stored else None,
        "version_there": stored[1].version if stored else None,
    }
    plan = done.plan
    if plan is not None:
        document |= {
            "asset": plan.received.asset,
            "amount": plan.received.amount,
            "value": plan.sent.value,
            "profit": plan.sent.evidence.profit,
            "principal": plan.sent.evidence.principal,
            "fee": None if plan.fee is None else {"asset": plan.fee.asset, "amount": plan.fee.amount.copy_abs()},
            **{f"{name}_{when}": figure for name, when, figure in _figures(plan)},
        }
    return document


def _figures(plan: TransferPlan) -> Iterator[tuple[str, str, Any]]:
    for name, change in (("basis", plan.sent.net_basis), ("basis_there", plan.net_basis)):
        yield name, "before", change.before
        yield name, "after", change.after


def _lines(done: TransferOutcome) -> Iterator[str]:
    plan = done.plan
    if plan is None:
        assert done.existing is not None
        sent, received = done.existing
        yield f"exists: version {sent.version}, and version {received.version} of {shown(done.to.name)}"
        yield "nothing was written"
        return
    title = "transfer" if done.recorded else "transfer, dry run"
    numeraire, evidence = done.book.numeraire, plan.sent.evidence
    yield f"{title}: {shown(plan.received.amount)} {plan.received.asset} to {shown(done.to.name)}"
    yield f"worth {shown(plan.sent.value)} {numeraire}, divided by {evidence.policy}"
    yield f"  profit    = {shown(evidence.profit)}"
    yield f"  principal = {shown(evidence.principal)}"
    rows = [
        _row(f"net basis of {shown(done.book.name)}", plan.sent.net_basis),
        _row(f"net basis of {shown(done.to.name)}", plan.net_basis),
        _row(f"net deposits of {shown(done.to.name)}", plan.net_deposits),
    ]
    yield from text_table(Table((f"in {numeraire}", "before", "after", "Δ"), rows))
    if plan.fee is not None:
        yield f"fee on the way: {shown(plan.fee.amount.copy_abs())} {plan.fee.asset}, a loss of {shown(done.book.name)}"
    if done.recorded is None:
        yield "No changes made."
    else:
        sent_at, received_at = (outcome.version for outcome in done.recorded)
        yield f"recorded at version {sent_at}, and at version {received_at} of {shown(done.to.name)}"


def _row(name: str, change: BeforeAfter) -> tuple[Any, ...]:
    return name, change.before, change.after, signed(subtract(change.after, change.before))


def _link(context: typer.Context, places: tuple[str, str], actor: str | None, dry_run: bool, output: Output) -> None:
    from engine.capital import link as run

    one, other = (_place(text) for text in places)
    named = target(context)
    with refusals_on_stdout(output), named.open("read" if dry_run else "write") as keeper:
        for place in (one, other):
            keeper.resolve(place.book)
        done = run(keeper, one, other, actor=actor, dry_run=dry_run)
    emit(output, _link_document(done), _link_lines(done))


def _place(text: str) -> Place:
    from engine.capital import Place

    book, _, version = text.rpartition(":")
    if not book or not version.isascii() or not version.isdecimal():
        raise WrongUsage(f"not an event's place: {text!r}; expected BOOK:VERSION, such as desk:7")
    return Place(book, int(version))


def _link_document(done: LinkOutcome) -> dict[str, Any]:
    plan = done.plan
    return {
        "written": done.recorded is not None,
        "existed": done.existed,
        "withdrawal": str(done.recorded[0]) if done.recorded else None,
        "deposit": str(done.recorded[1]) if done.recorded else None,
        "replaces": [str(plan.out), str(plan.into)] if plan else None,
        "asset": plan.deposit.asset if plan else None,
        "amount": plan.deposit.amount if plan else None,
        "principal": plan.deposit.basis_delta if plan else None,
        "fee": {"asset": plan.fee.asset, "amount": plan.fee.amount.copy_abs()} if plan and plan.fee else None,
    }


def _link_lines(done: LinkOutcome) -> Iterator[str]:
    plan = done.plan
    if plan is None:
        yield "exists: the two are tied already; nothing was written"
        return
    title = "tied" if done.recorded else "tied, dry run"
    yield f"{title}: {shown(plan.deposit.amount)} {plan.deposit.asset} from {plan.out} to {plan.into}"
    rows = [
        _row(f"net basis of {shown(plan.out.book)}", plan.sender_basis),
        _row(f"net basis of {shown(plan.into.book)}", plan.receiver_basis),
    ]
    yield from text_table(Table(("", "before", "after", "Δ"), rows))
    if plan.fee is not None:
        yield f"fee on the way: {shown(plan.fee.amount.copy_abs())} {plan.fee.asset}, a loss of {shown(plan.out.book)}"
    if done.recorded is None:
        yield "No changes made."
    else:
        yield f"both were reversed, and stand tied at {done.recorded[0]} and {done.recorded[1]}"
