"""Options that the capital commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from cli.shared.output import shown
from cli.shared.usage import WrongUsage

if TYPE_CHECKING:
    from engine.capital import RequestOutcome
    from ledger.stored import StoredEvent

AmountArgument: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="AMOUNT", help="How much, more than 0, in the asset's own unit.")
]
AmountOption: TypeAlias = Annotated[
    str | None, typer.Option("--amount", metavar="AMOUNT", help="The same as the argument AMOUNT.")
]
KeyOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help="Idempotency key: given again, nothing is written twice. By default a generated one.",
    ),
]
AssetOption: TypeAlias = Annotated[
    str | None, typer.Option("--asset", metavar="ASSET", help="Which asset; by default the numeraire.")
]
PriceOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--price", metavar="ASSET=PRICE", help="A price in the numeraire, used instead of a mark. Repeatable."
    ),
]
NoteOption: TypeAlias = Annotated[
    str | None, typer.Option("--source-note", metavar="TEXT", help="Your words about it; kept with the event.")
]
TxHashOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--tx-hash", metavar="HASH", help="The transaction on a chain: given again, nothing is written twice."
    ),
]
AtOption: TypeAlias = Annotated[
    str | None, typer.Option("--at", metavar="TIME", help="When it happened; by default now.")
]
ActorOption: TypeAlias = Annotated[
    str | None, typer.Option("--actor", metavar="NAME", help="Who decided or approved it.")
]
DryRunOption: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done; opens the database read-only.")
]


def the_amount(argument: str | None, option: str | None, command: str) -> str:
    """The amount, from the argument or from --amount. Raises WrongUsage for both or neither."""
    if argument is not None and option is not None:
        raise WrongUsage(f"the amount is given twice: {argument!r} and --amount {option!r}")
    given = argument if argument is not None else option
    if given is None:
        raise WrongUsage(f"say how much: netbasis {command} 50")
    return given


def outcome_document(done: RequestOutcome[Any]) -> dict[str, Any]:
    """What every request answers to programs: whether it was written or was there, and which event that is."""
    stored = done.existing or (done.outcome.stored if done.outcome else None)
    return {
        "book": done.book.name,
        "written": done.outcome is not None,
        "existed": done.existing is not None,
        "event_id": stored.event_id if stored else None,
        "version": stored.version if stored else None,
    }


def exists_line(existing: StoredEvent) -> str:
    """The answer to a duplicate."""
    return f"exists: {existing.type} at version {existing.version}, key {shown(existing.key)}; nothing was written"


def require_no_other_price(given: dict[str, object], asset: str, numeraire: str) -> None:
    """Raises WrongUsage when a price is given for an asset that the command does not value."""
    wanted = "leave it out: its price is 1" if asset == numeraire else f"give the price of {asset} only"
    for other in sorted(given.keys() - {asset}):
        raise WrongUsage(f"--price {other}=… is not used for an amount of {asset}; {wanted}")
