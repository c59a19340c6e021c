"""The commands: for each, its module, imported only when it runs, and its line in `netbasis --help`.

Importing every command would take longer than most of them run. A test compares the lines with the commands' own help.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer._click.shell_completion import CompletionItem
from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer._click import Command


@dataclass(frozen=True, slots=True)
class Entry:
    """A command.

    module:  its module in `cli.commands`
    help:    its line in the help; None for an alias, which is not shown
    """

    module: str
    help: str | None


# In the order of the help.
COMMANDS = {
    "init": Entry("init", "Make a database, migrate it to the newest schema and open a book."),
    "append": Entry("append", "Append one event, or a file or stream of events."),
    "import": Entry(
        "import_",
        "Import what venues, bots and older systems export: nothing dropped, nothing counted twice, nothing invented.",
    ),
    "inbox": Entry("inbox", "Show and settle the imported movements that wait."),
    "reconcile": Entry(
        "reconcile", "Compare the ledger with the balances that a venue states; exit 1 when one is off."
    ),
    "inject": Entry("inject", "Add capital; PnL does not move."),
    "withdraw": Entry("withdraw", "Take capital out, as profit and principal; PnL does not move."),
    "transfer": Entry("transfer", "Move capital to another book of the ledger, with its basis; PnL moves in neither."),
    "backfill-basis": Entry("backfill_basis", "Commit, once, the initial basis of a book whose basis was not kept."),
    "reverse": Entry("reverse", "Take an earlier event back, by an event that negates its effects."),
    "books": Entry("books", "List the books of the ledger, each with its balances, and the totals of the desk."),
    "balance": Entry("balance", "Show each asset's balance and its parts."),
    "bal": Entry("balance", None),
    "status": Entry(
        "status",
        "Show what a desk watches, of all books unless --book names one: head, ages, balances, profit, what waits.",
    ),
    "register": Entry("register", "Show every posting with the running balance of its asset."),
    "reg": Entry("register", None),
    "show": Entry(
        "show", "Show one event in full: its fields, what it moved, what reverses and corrects it, its bytes and hash."
    ),
    "pnl": Entry("pnl", "Show total value, net deposits, net basis, PnL and profit."),
    "lots": Entry(
        "lots", "Show the open lots: asset, quantity, cost, price, when and by which event they were opened."
    ),
    "gains": Entry(
        "gains",
        "Show each disposal: what it brought, what it had cost, the gain, how long it was held, and both versions.",
    ),
    "income": Entry(
        "gains", "Show each reward, rebate and funding payment with its value on its date; what was paid is negative."
    ),
    "returns": Entry(
        "returns", "Show what a period earned as a rate: time-weighted, money-weighted, and the deepest drawdown."
    ),
    "sessions": Entry(
        "sessions",
        "List the sessions with their fills, volume, fees and realised PnL, in the order of their first fill.",
    ),
    "audit": Entry("audit", "The history of the basis, line by line."),
    "summary": Entry("summary", "Show fills, volume, fees, inventory, net basis and PnL."),
    "check": Entry(
        "check",
        "Check the file, the schema, the chain, the invariants and the projections, of all books unless --book names one.",
    ),
    "head": Entry("head", "Show the newest event's version and hash, to be kept elsewhere."),
    "rebuild": Entry("rebuild", "Recompute the projections from the log and replace the stored ones."),
    "copy": Entry("copy", "Copy a book, or all books, into another database, byte for byte."),
    "seal": Entry("seal", "Write old events as Parquet segments beside the log, of all books unless --book names one."),
    "follow": Entry(
        "follow", "Print each event of a book as it comes, a line of NDJSON each, in the order of their versions."
    ),
    "serve": Entry(
        "serve",
        "Show the ledger in a browser: figures, chart, register, events, lots, gains; it reads, and never writes.",
    ),
    "report": Entry(
        "report",
        "Write a period as one HTML file to send: figures, chart, capital, gains, returns, and what a check says.",
    ),
    "schema": Entry("schema", "Print a JSON Schema of the events that `append --file` takes."),
    "export": Entry("export", "Write a book for other programs: events, tables, journals, tax tools."),
    "mcp": Entry(
        "mcp",
        "Serve the reading commands as tools for an assistant, which cannot write (MCP over stdin and stdout).",
    ),
    "cluster": Entry("cluster", "Fold and prove all books of a segment store on Spark."),
    "backup": Entry(
        "backup",
        "Back the whole ledger up into one file, while others go on writing; the copy is checked first.",
    ),
    "restore": Entry(
        "restore", "Make a backup the ledger at --db; it is checked first, and upgraded when its schema is older."
    ),
    "doctor": Entry("doctor", "Examine the ledger and what it stands on, and say what to do about each thing."),
    "verify-injection": Entry("verify_injection", "Inject into a copy of the database and show that PnL did not move."),
    "property-test": Entry(
        "property_test", "Invent possible futures of the book and check the invariants in each of them."
    ),
    "db": Entry("db", "Upgrade the schema of the database, and show which version it has."),
    "paper": Entry("paper", "Paper sessions: the quoting loop on a recorded market."),
    "exposure": Entry("exposure", "Trace the exposure gate: where it sits, its threshold, and what still fits."),
    "config": Entry("config", "The strategy's configuration."),
    "demo": Entry("demo", "Play the story of one desk in a fresh temporary database."),
}


@cache
def load(name: str) -> Command:
    """A command by name; imports its module."""
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    app.callback()(_only_a_group)
    import_module(f"cli.commands.{COMMANDS[name].module}").register(app)
    return typer.main.get_group(app).commands[name]


def _only_a_group() -> None:
    """A callback makes an app a group, even with a single command."""


class _LoadedWhenUsed(Mapping[str, "Command"]):
    """The commands by name, as typer expects them; a command is loaded when it is looked up."""

    def __getitem__(self, name: str) -> Command:
        if name not in COMMANDS:
            raise KeyError(name)
        return load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Commands(TyperGroup):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _LoadedWhenUsed()  # type: ignore[assignment] # typer only reads it from here on

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands in the help without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items() if entry.help is not None])

    def shell_complete(self, ctx: Any, incomplete: str) -> list[CompletionItem]:
        """The commands and options that begin so, without importing the commands, which would take a shell a second."""
        named = [
            CompletionItem(name, help=entry.help)
            for name, entry in COMMANDS.items()
            if entry.help is not None and name.startswith(incomplete)
        ]
        return [*named, *super(TyperGroup, self).shell_complete(ctx, incomplete)]
