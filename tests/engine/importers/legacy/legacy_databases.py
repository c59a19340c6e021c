"""Databases of the old engine, in all the ages that it left behind, each with the truth that it was made from.

`OldEngine` does what the old engine did: balances are floats that are added up as it trades, a capital event is in the
balance that the next ledger row is written with, and times, ids and columns are as its age had them. Beside that it keeps
the truth in exact decimals. `real` is the one place where a decimal becomes a float, as it did there.
"""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

START = datetime(2025, 11, 3, 8, 0, tzinfo=UTC)
STARTING_VALUE_KEY = "paper.pnl_starting_value_rlusd"
CAPITAL, LEDGER, FILLS, STATE = "capital_events", "inventory_ledger", "fills", "engine_state"
ZERO = Decimal(0)

# How each age wrote a time.
TIMES: dict[str, Callable[[datetime], object]] = {
    "zone": lambda time: time.isoformat(),
    "z": lambda time: time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    "offset": lambda time: (time + timedelta(hours=2)).strftime("%Y-%m-%d %H:%M:%S.%f+02:00"),
    "no_zone": lambda time: time.strftime("%Y-%m-%d %H:%M:%S"),
    "seconds": lambda time: int(time.timestamp()),
    "real_seconds": lambda time: time.timestamp(),
    "milliseconds": lambda time: int(time.timestamp()) * 1000,
}


def real(amount: Decimal) -> float:
    """The REAL that the old engine kept for an amount."""
    return float(amount)


@dataclass(frozen=True)
class Shape:
    """What a database of an age looks like."""

    times: str = "zone"
    time_column: str = "created_at"
    quantity_column: str = "quantity"
    text_ids: bool = False
    basis_column: bool = True
    change_column: bool = True
    fill_id_column: bool = False
    fee_columns: bool = False
    quote_column: bool = False
    fills_only: bool = False  # the balances hold the capital before an asset's first row, and none after it
    without: tuple[str, ...] = ()

    def schema(self) -> list[str]:
        """The tables of this age."""
        kind = "TEXT PRIMARY KEY" if self.text_ids else "INTEGER PRIMARY KEY"
        time = f'"{self.time_column}"'
        columns = {
            CAPITAL: [
                "event_type TEXT",
                "asset TEXT",
                "amount REAL",
                "price_rlusd REAL",
                "source_note TEXT",
                "tx_hash TEXT",
            ],
            LEDGER: ["asset TEXT", "new_balance REAL"],
            FILLS: ["session_id TEXT", "side TEXT", "price REAL", f'"{self.quantity_column}" REAL'],
        }
        columns[CAPITAL] += ["basis_delta_rlusd REAL"] * self.basis_column
        columns[LEDGER] += ["change REAL"] * self.change_column + ["fill_id"] * self.fill_id_column
        columns[FILLS] += ["fee REAL", "fee_asset TEXT"] * self.fee_columns + ["quote_amount REAL"] * self.quote_column
        made = [f"CREATE TABLE {table} (id {kind}, {', '.join(columns[table])}, {time})" for table in columns]
        made.append(f"CREATE TABLE {STATE} (key TEXT PRIMARY KEY, value REAL)")
        return [statement for statement in made if statement.split()[2] not in self.without]


def _zeros() -> defaultdict[str, Decimal]:
    return defaultdict(lambda: ZERO)


@dataclass
class Truth:
    """What is so, exactly: balances by asset; the rest in RLUSD. `openings`: what nobody had written down, by asset."""

    balances: defaultdict[str, Decimal] = field(default_factory=_zeros)
    openings: dict[str, Decimal] = field(default_factory=dict)
    net_basis: Decimal = ZERO
    net_deposits: Decimal = ZERO
    starting_value: Decimal = ZERO
    unknown_bases: int = 0
    events: int = 0


class OldEngine:
    """Trades and keeps a database; use it as a context manager, or call `close`. Each step is a minute after the last."""

    def __init__(
        self, path: Path, shape: Shape | None = None, *, openings: Mapping[str, str] | None = None, wal: bool = False
    ) -> None:
        self.shape = shape or Shape()
        self.truth = Truth()
        self.now = START
        self.connection = sqlite3.connect(path)
        self.connection.execute("PRAGMA synchronous = OFF")  # no test pulls the plug
        if wal:
            self.connection.execute("PRAGMA journal_mode = WAL")
        for statement in self.shape.schema():
            self.connection.execute(statement)
        self._floats: defaultdict[str, float] = defaultdict(lambda: real(ZERO))
        self._ids: defaultdict[str, int] = defaultdict(int)
        self.has_traded: set[str] = set()
        for asset, amount in (openings or {}).items():
            self.truth.openings[asset] = Decimal(amount)
            self._move(asset, Decimal(amount))
        self.connection.commit()

    def __enter__(self) -> OldEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Commit what is open, and close the database."""
        self.connection.commit()
        self.connection.close()

    def capital(
        self,
        kind: str,
        asset: str,
        amount: str,
        *,
        price: str | None = None,
        basis: str | None = None,
        note: str | None = None,
        tx_hash: str | None = None,
        minutes_off: int = 0,
        is_booked: bool = True,
    ) -> None:
        """A capital event; without a basis delta it is NULL.

        `minutes_off`: its time is written so much later than it was booked. `is_booked`: whether the ledger's balances ever
        get it.
        """
        exact, sign = Decimal(amount), {"deposit": 1, "withdrawal": -1, "basis_commit": 0}[kind]
        values = {
            "event_type": kind,
            "asset": asset,
            "amount": real(exact),
            "price_rlusd": None if price is None else real(Decimal(price)),
            "source_note": note,
            "tx_hash": tx_hash,
        }
        if self.shape.basis_column:
            values["basis_delta_rlusd"] = None if basis is None else real(Decimal(basis))
        self._insert(CAPITAL, values, minutes_off)
        is_held = is_booked and not (self.shape.fills_only and asset in self.has_traded)
        self._move(asset, exact * sign, is_booked=is_held)
        worth = exact * sign * (Decimal(price) if price is not None else 1)
        self.truth.net_deposits += worth
        self.truth.starting_value += worth
        known = basis is not None and self.shape.basis_column
        self.truth.net_basis += Decimal(basis or "0") if known else ZERO
        self.truth.unknown_bases += kind == "deposit" and not known
        self.truth.events += 1

    def fill(
        self,
        side: str,
        quantity: str,
        price: str,
        *,
        session: str = "s1",
        fee: str | None = None,
        fee_asset: str = "RLUSD",
        ledger: bool = True,
    ) -> None:
        """A fill of XRP, with its two ledger rows unless `ledger` is False; a fee is in the row of its asset."""
        exact, sign = Decimal(quantity), 1 if side == "buy" else -1
        quote = exact * Decimal(price)
        values: dict[str, object] = {"session_id": session, "side": side, "price": real(Decimal(price))}
        values[self.shape.quantity_column] = real(exact)
        if self.shape.fee_columns:
            values |= {"fee": None if fee is None else real(Decimal(fee)), "fee_asset": fee_asset if fee else None}
        if self.shape.quote_column:
            values["quote_amount"] = real(exact) * real(Decimal(price))
        fill_id = self._insert(FILLS, values)
        paid = Decimal(fee or "0")
        moves = {"XRP": exact * sign, "RLUSD": -quote * sign}
        moves[fee_asset] -= paid
        for asset, delta in moves.items():
            self._move(asset, delta)
            if ledger:
                self.ledger_row(asset, delta, fill_id)
        self.truth.events += 1

    def network_fee(self, asset: str, amount: str) -> None:
        """A ledger row without a fill: something went away."""
        self._move(asset, -Decimal(amount))
        self.wait()
        self.ledger_row(asset, -Decimal(amount))

    def ledger_row(self, asset: str, change: Decimal, fill_id: object = None) -> None:
        """A row of the ledger, with the balance as it is now."""
        values: dict[str, object] = {"asset": asset, "new_balance": self._floats[asset]}
        if self.shape.change_column:
            values["change"] = real(change)
        if self.shape.fill_id_column:
            values["fill_id"] = fill_id
        self._insert(LEDGER, values)
        self.has_traded.add(asset)

    def keep_starting_value(self, amount: str | None = None) -> None:
        """Write the starting value down: the truth's, or another."""
        if amount is not None:
            self.truth.starting_value = Decimal(amount)
        if STATE not in self.shape.without:
            statement = f"INSERT OR REPLACE INTO {STATE} VALUES (?, ?)"
            self.connection.execute(statement, (STARTING_VALUE_KEY, real(self.truth.starting_value)))

    def wait(self, minutes: int = 1) -> None:
        """Let time pass."""
        self.now += timedelta(minutes=minutes)

    def _move(self, asset: str, delta: Decimal, *, is_booked: bool = True) -> None:
        self.truth.balances[asset] += delta
        if is_booked:
            self._floats[asset] += real(delta)

    def _insert(self, table: str, values: Mapping[str, object], minutes_off: int = 0) -> object:
        self._ids[table] += 1
        number = self._ids[table]
        row_id: object = f"{table[:3]}-{number:04d}-é" if self.shape.text_ids else number
        if table != LEDGER:
            self.wait()
        if table not in self.shape.without:
            time = TIMES[self.shape.times](self.now + timedelta(minutes=minutes_off))
            row = {"id": row_id, **values, self.shape.time_column: time}
            names = ", ".join(f'"{name}"' for name in row)
            marks = ", ".join("?" for _ in row)
            self.connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))
        return row_id


def first_deposits(engine: OldEngine, *, known: bool = True) -> None:
    """The first user's capital: 39.27 XRP × 1.3314 + 85.00 RLUSD = 137.284078."""
    engine.capital("deposit", "XRP", "39.27", price="1.3314", basis="52.284078" if known else None, note="first XRP")
    engine.capital("deposit", "RLUSD", "85", price="1", basis="85" if known else None, tx_hash="5C1A")


def trade(engine: OldEngine, *, session: str = "s1") -> None:
    """Three fills."""
    engine.fill("buy", "11.29518", "1.328", session=session)
    engine.fill("sell", "11.22754", "1.336", session=session)
    engine.fill("buy", "11.303692", "1.327", session=session)


Build = Callable[[Path], Truth]


def _age(
    build: Callable[[OldEngine], None], shape: Shape | None = None, openings: Mapping[str, str] | None = None
) -> Build:
    def database(path: Path) -> Truth:
        with OldEngine(path, shape, openings=openings) as engine:
            build(engine)
            engine.keep_starting_value()
            return engine.truth

    return database


def _plain(engine: OldEngine) -> None:
    first_deposits(engine)
    trade(engine)


def _unknown(engine: OldEngine) -> None:
    first_deposits(engine, known=False)
    trade(engine)


def _backfilled(engine: OldEngine) -> None:
    _unknown(engine)
    note = "synthetic_initial_basis"
    engine.capital("basis_commit", "RLUSD", "137.284078", price="1", basis="137.284078", note=note)


def _both_sides(engine: OldEngine) -> None:
    _plain(engine)
    engine.capital("deposit", "RLUSD", "50", price="1", basis="50")
    trade(engine, session="s2")
    engine.capital("withdrawal", "XRP", "5.5", price="1.34", basis="-7.1")
    engine.capital("deposit", "XRP", "2", price="1.33", basis="2.66")


def _withdrawal_before(engine: OldEngine) -> None:
    first_deposits(engine)
    engine.capital("withdrawal", "RLUSD", "20", basis="-20")
    engine.capital("withdrawal", "XRP", "4.27", price="1.33", basis="-5.6791")
    trade(engine)


def _basis_commits(engine: OldEngine) -> None:
    _plain(engine)
    engine.capital("basis_commit", "RLUSD", "12.5", price="1", basis="-12.5", note="too much was committed")
    engine.capital("basis_commit", "RLUSD", "0", basis="0")
    trade(engine)


def _division_sized(engine: OldEngine) -> None:
    first_deposits(engine)
    for side, quantity, price in (
        ("buy", "11.266336187471834", "1.3314"),
        ("sell", "11.223344556677889", "1.3365"),
        ("buy", "11.29518072289157", "1.328"),
    ):
        engine.fill(side, quantity, price)


def _sessions(engine: OldEngine) -> None:
    first_deposits(engine)
    for session in ("s1", "s2", "s3"):
        trade(engine, session=session)


def _no_ledger_rows(engine: OldEngine) -> None:
    first_deposits(engine)
    engine.capital("withdrawal", "RLUSD", "5", basis="-5")


def _fees(engine: OldEngine) -> None:
    first_deposits(engine)
    engine.fill("buy", "10", "1.33", fee="0.0133", fee_asset="RLUSD")
    engine.fill("sell", "5", "1.35", fee="0.005", fee_asset="XRP")
    engine.fill("sell", "5", "1.35", fee="0")
    engine.fill("buy", "1", "1.35")


# Every age that `import` must bring over exactly, by name.
EXACT: dict[str, Build] = {
    "plain": _age(_plain),
    "before_the_basis_column": _age(_unknown, Shape(basis_column=False)),
    "null_bases": _age(_unknown),
    "after_the_backfill": _age(_backfilled),
    "capital_on_both_sides": _age(_both_sides),
    "capital_on_both_sides_without_changes": _age(_both_sides, Shape(change_column=False)),
    "withdrawal_before_the_first_row": _age(_withdrawal_before),
    "opening_beyond_the_capital": _age(_both_sides, openings={"RLUSD": "10", "XRP": "0.75"}),
    "basis_commits": _age(_basis_commits),
    "division_sized": _age(_division_sized),
    "division_sized_without_changes": _age(_division_sized, Shape(change_column=False)),
    "several_sessions": _age(_sessions, Shape(quantity_column="qty", time_column="ts")),
    "no_ledger_rows": _age(_no_ledger_rows),
    "empty": _age(lambda engine: None),
    "text_ids": _age(_both_sides, Shape(text_ids=True, time_column="timestamp", quantity_column="size")),
    "fill_ids_in_the_ledger": _age(_both_sides, Shape(fill_id_column=True)),
    "zone_z": _age(_both_sides, Shape(times="z")),
    "other_zone": _age(_both_sides, Shape(times="offset", time_column="time", quantity_column="amount")),
    "no_zone": _age(_both_sides, Shape(times="no_zone", time_column="at")),
    "seconds": _age(_both_sides, Shape(times="seconds")),
    "real_seconds": _age(_both_sides, Shape(times="real_seconds")),
    "milliseconds": _age(_both_sides, Shape(times="milliseconds")),
    "fills_alone": _age(_both_sides, Shape(fills_only=True)),
    "fills_alone_without_changes": _age(_both_sides, Shape(fills_only=True, change_column=False)),
    "fees": _age(_fees, Shape(fee_columns=True)),
    "fees_and_quotes": _age(_fees, Shape(fee_columns=True, quote_column=True)),
    "no_engine_state": _age(_plain, Shape(without=(STATE,))),
    "no_capital_events": _age(trade, Shape(without=(CAPITAL,)), openings={"RLUSD": "85", "XRP": "39.27"}),
    "no_fills_no_ledger": _age(_no_ledger_rows, Shape(without=(FILLS, LEDGER))),
}


# ---- other processes


def snapshot(folder: Path) -> dict[str, str]:
    """By name, the SHA-256 of every file in a folder. What SQLite shares among its processes, `-shm`, is by name only."""
    return {
        path.name: "" if path.name.endswith("-shm") else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def run_child(folder: Path, program: str) -> None:
    """Let another process do something in a folder, to its end."""
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True)


@contextmanager
def live_child(folder: Path, program: str) -> Iterator[None]:
    """Another process that has printed `ready` and goes on until the end."""
    command, pipe = [sys.executable, "-c", program], subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, text=True, stdin=pipe, stdout=pipe) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            yield
        finally:
            child.kill()
