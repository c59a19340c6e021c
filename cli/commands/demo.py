"""`netbasis demo`: the first user's story with the first user's numbers, in a fresh temporary database.

The clock and the ids are fixed, so every run prints the same hashes; what is shown of the ledger is printed by the
commands themselves.
"""

from __future__ import annotations

import itertools
import shlex
import shutil
import sqlite3
import sys
import tempfile
from contextlib import chdir, closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import typer

from cli.shared.output import text_table
from engine.reports.report import Table, signed
from ledger.amounts import subtract

if TYPE_CHECKING:
    from engine.bookkeeper import Bookkeeper
    from projections.pnl import Pnl

LEDGER = "demo.db"
TAMPERED = "tampered.db"
BOOK = "main"
_START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)

# Session, side, XRP, RLUSD: round trips of about 15 RLUSD around 1.33.
_FILLS = (
    ("s1", "buy", "11.29518", "14.99999904"),
    ("s1", "sell", "11.22754", "14.99999344"),
    ("s1", "buy", "11.303692", "14.999999284"),
    ("s1", "sell", "11.235955", "14.999999925"),
    ("s1", "sell", "11.185682", "14.999999562"),
    ("s2", "buy", "11.278195", "14.99999935"),
    ("s2", "buy", "11.337868", "14.999999364"),
    ("s2", "sell", "11.210762", "14.999999556"),
    ("s2", "sell", "11.144130", "14.99999898"),
    ("s2", "buy", "11.194029", "14.99999886"),
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(context: typer.Context) -> None:
    """Play the story of one desk in a fresh temporary database.

    Deposit, trade, inject, withdraw, rebuild, check, audit, gains; needs no --db. It ends with the database's
    path and the next commands to try.
    """
    from engine.bookkeeper import Bookkeeper
    from ledger.events import Opened

    folder = Path(tempfile.mkdtemp(prefix="netbasis-demo-"))
    ticks, numbers = itertools.count(), itertools.count(1)
    with (
        chdir(folder),
        Bookkeeper.open(
            LEDGER,
            "create",
            clock=lambda: _START + timedelta(minutes=next(ticks)),
            new_id=lambda: str(UUID(int=next(numbers))),
        ) as keeper,
    ):
        keeper.open_book(BOOK, Opened(mode="live"))
        _deposits_and_fills(keeper, context)
        _commit_basis(keeper)
        _inject(keeper)
        _withdraw(keeper)
        _damage_and_rebuild(context)
        _tamper_and_check(context)
        _say("7. The history of the basis, line by line. It can be followed with a pencil: each basis_after is the one")
        _say("   above it plus basis_delta; equity_before − basis_before is the profit that there was to take.")
        _command(context, "audit", "basis")
        _earned(context)
    _epilogue(folder)


def _deposits_and_fills(keeper: Bookkeeper, context: typer.Context) -> None:
    _say(
        "1. A live book. 39.27 XRP at 1.3314 and 85.00 RLUSD were deposited before the basis was kept; then two sessions"
    )
    _say("   of fills around 1.33, network fees, and a mark. The log is append-only; the balances are folded from it.")
    unknown = {"type": "deposit", "basis_unknown": True, "source_note": "before the basis was kept"}
    _append(keeper, **unknown, asset="XRP", amount="39.27", price="1.3314", key="capital:1")
    _append(keeper, **unknown, asset="RLUSD", amount="85.00", key="capital:2")
    for number, (session, side, base, quote) in enumerate(_FILLS, 1):
        trade: dict[str, Any] = {
            "base_asset": "XRP",
            "base_amount": base,
            "quote_asset": "RLUSD",
            "quote_amount": quote,
        }
        fee = {"fee_asset": "XRP", "fee_amount": "0", "liquidity": "maker"}
        _append(keeper, type="fill", side=side, **trade, **fee, session_id=session, key=f"xrpl:{number}")
    _append(keeper, type="adjustment", asset="XRP", amount="-0.00012", reason="network_fee", key="xrpl:fees:1")
    _append(keeper, type="mark", asset="XRP", price="1.3398", price_source="xrpl mid", key="mark:1")
    _command(context, "balance")


def _commit_basis(keeper: Bookkeeper) -> None:
    _say(
        "2. The basis is committed once, by its owner: 39.27 × 1.3314 + 85.00 = 137.284078. Until then profit is unknown."
    )
    before = _pnl(keeper)
    note = "synthetic_initial_basis"
    _append(keeper, type="basis_commit", basis_delta="137.284078", key=note, source_note=note, actor="owner")
    after = _pnl(keeper)
    _before_and_after(before, after, ("net_basis", "starting_value", "total_pnl", "retained_profit"))


def _inject(keeper: Bookkeeper) -> None:
    _say("3. 50 RLUSD come in. Net deposits and total value go up by 50; PnL does not move.")
    before = _pnl(keeper)
    _append(keeper, type="deposit", asset="RLUSD", amount="50", source_note="manual injection", actor="owner")
    after = _pnl(keeper)
    _before_and_after(before, after, ("net_deposits", "total_value", "total_pnl", "trading_value"))


def _withdraw(keeper: Bookkeeper) -> None:
    from engine.policy.evidence import evidence_for

    _say(
        "4. 20 RLUSD go out. Profit leaves first (profit_first/1); what the decision was made from stays on the event."
    )
    view, before = keeper.view(BOOK), _pnl(keeper)
    evidence = evidence_for(Decimal(20), view.state, view.state.marks, view.book)
    basis_delta = subtract(Decimal(0), evidence.principal)
    parts: dict[str, Any] = {"basis_delta": basis_delta, "evidence": evidence, "actor": "owner"}
    _append(keeper, type="withdrawal", asset="RLUSD", amount="20", **parts)
    names = ("equity_before", "basis_before", "profit", "principal")
    _lines(text_table(Table(("evidence", "RLUSD"), [(name, getattr(evidence, name)) for name in names])))
    _before_and_after(before, _pnl(keeper), ("net_basis", "total_value", "total_pnl", "retained_profit"))


def _damage_and_rebuild(context: typer.Context) -> None:
    _say(
        "5. Somebody edits a stored balance. The log did not change, so a rebuild puts it right and shows what differed."
    )
    with closing(sqlite3.connect(LEDGER)) as connection, connection:
        connection.execute("UPDATE inventory SET total = '1000000' WHERE asset = 'RLUSD'")
    _command(context, "rebuild")
    _command(context, "check")
    _say("   (check is silent: everything holds)")


def _tamper_and_check(context: typer.Context) -> None:
    from ledger.database import triggers

    _say(
        "6. Somebody edits the log itself, in a copy: the trigger that forbids it dropped, a fill improved, the trigger"
    )
    _say("   put back. The hash chain knows.")
    with closing(sqlite3.connect(LEDGER)) as ledger, closing(sqlite3.connect(TAMPERED)) as copy, copy:
        ledger.backup(copy)
        copy.execute("DROP TRIGGER events_refuse_update")
        copy.execute("UPDATE events SET body = replace(body, '14.99999344', '19.99999344') WHERE version = 5")
        copy.execute("UPDATE events SET body = CAST(body AS BLOB), quote_delta = '19.99999344' WHERE version = 5")
        copy.execute(triggers.SQLITE["events_refuse_update"])
    _command(context, "check", "--only", "chain", db=TAMPERED)


def _earned(context: typer.Context) -> None:
    _say("8. What the inventory cost, and what was earned: lots are folded from the same log, by FIFO unless --method")
    _say("   says otherwise. Money that came in and went out is no return.")
    _command(context, "lots")
    _command(context, "gains", "--group-by", "session")
    _command(context, "returns", "--from", "2026-01-05T09:16:00Z", "--to", "2026-01-05T09:20:00Z")


def _epilogue(folder: Path) -> None:
    script = "netbasis" if shutil.which("netbasis") else shlex.quote(sys.argv[0])
    ledger = shlex.quote(str(folder / LEDGER))
    _say(f"The ledger is {folder / LEDGER}. Try next:")
    for words in ("serve", "pnl", "pnl --price XRP=1.20", "check", "balance -O json", "append --help"):
        typer.echo(f"  {script} --db {ledger} {words}")


def _append(keeper: Bookkeeper, **fields: Any) -> None:
    from ledger.events import event_from

    keeper.append(BOOK, event_from(fields))


def _pnl(keeper: Bookkeeper) -> Pnl:
    from projections.pnl import pnl

    view = keeper.view(BOOK)
    return pnl(view.state, view.state.marks, view.book.numeraire)


def _before_and_after(before: Pnl, after: Pnl, names: tuple[str, ...]) -> None:
    rows = [(name.replace("_", " "), getattr(before, name), getattr(after, name)) for name in names]
    columns = ("in RLUSD", "before", "after", "Δ")
    _lines(text_table(Table(columns, [(*row, _delta(row[1], row[2])) for row in rows])))


def _delta(before: Decimal | None, after: Decimal | None) -> str:
    if before is None or after is None:
        return "-"
    return signed(subtract(after, before))


def _say(text: str) -> None:
    typer.echo(("\n" if text[:1].isdecimal() or text.startswith("The") else "") + text)


def _lines(lines: Any) -> None:
    for line in lines:
        typer.echo(f"   {line}".rstrip())


def _command(context: typer.Context, *words: str, db: str = LEDGER) -> None:
    """Run a command as the user would, after showing it."""
    typer.echo(f"   $ netbasis --db {db} {' '.join(words)}")
    sys.stdout.flush()
    context.find_root().command.main(["--db", db, *words], prog_name="netbasis", standalone_mode=False)
