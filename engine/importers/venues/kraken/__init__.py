"""`kraken`: ledgers.csv, the authority, and trades.csv, its detail; both in one import, or one of them.

Taken: History → Export → Ledgers or Trades, with all columns of the old and the new layout (`subclass`, `wallet`,
`amountusd`; `costusd`, `margin`, `net` and others), and what the API's Ledgers answers, as JSON. Times are UTC.

What was decided:

    assets              without their old prefix: XXBT, XBT and BTC are BTC, ZEUR is EUR; ETH2.S, USDC.M, EUR.HOLD stay
    amount, fee         the balance changes by amount − fee; a negative fee is a rebate
    trade; spend and    the rows of one refid are a fill; its fee is the one in the quote asset, else the first; further
    receive             ones (KFEE) are adjustments `fee`. Of more than two assets: adjustments `conversion`, of one group
    trades.csv          gives the order of a ledger's fill; a trade that no ledger has becomes a fill itself, of the same id
    deposit, withdrawal movements; one that failed (its refid again, with the sign turned) names one transaction, and is
                        settled as no capital
    spottostaking …     two rows of equal amount, of different refids: adjustments `conversion`, of one group
    staking, earn       `reward`; moving between wallets of one's own is passed over
    margin, rollover    a contract: adjustments `realised`, `fee`, `funding`
    without txid        pending: passed over; the row comes again
    balance             compared with what the rows above make it; where it differs, rows are missing, which is reported

An id is the ledger's txid, of a fill `trade:` and the refid, which is the trade's txid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.importers.csv_rows import RewoundText
from engine.importers.items import Item, Kind, Origin, QuarantinedRow, Sample, Settings, Source, Unreadable
from engine.importers.json_stream import read_json
from engine.importers.json_values import MalformedJson
from engine.importers.venues.kraken.balances import BalanceColumn
from engine.importers.venues.kraken.ledger import Ledger
from engine.importers.venues.kraken.trades import Trades
from engine.importers.venues.reading import Line, head_has, read_table, rescued

LEDGER = frozenset({"txid", "refid", "time", "type", "asset", "amount", "fee"})
_TRADES = frozenset({"txid", "ordertxid", "pair", "time", "type", "cost", "fee", "vol"})
_API = frozenset({"refid", "time", "type", "asset", "amount", "fee"})


def _is_header(columns: frozenset[str]) -> bool:
    return columns >= LEDGER or columns >= _TRADES


def _recognises(sample: Sample) -> bool:
    if sample.head.lstrip()[:1] == b"{":
        return all(f'"{name}"'.encode() in sample.head for name in ("refid", "aclass", "balance"))
    return head_has(sample.head, _is_header)


def _read(sources: Sequence[Source], settings: Settings) -> Iterator[Item]:
    trades = Trades()
    try:
        ledgers = []
        for source in sources:
            if _is_trades(source):
                yield from _put_aside(source, trades)
            else:
                ledgers.append(source)
        for source in ledgers:
            yield from _ledger(source, settings, trades)
        yield from trades.items(settings)
    finally:
        trades.close()


def _is_trades(source: Source) -> bool:
    return head_has(source.head(), lambda columns: columns >= _TRADES)


def _put_aside(source: Source, trades: Trades) -> Iterator[Item]:
    with source.text() as text:
        for line in read_table(text, source.name, lambda columns: columns >= _TRADES).rows:
            if isinstance(line, Line):
                trades.add(line)
            else:
                yield line


def _ledger(source: Source, settings: Settings, trades: Trades) -> Iterator[Item]:
    ledger, column = Ledger(settings, trades), BalanceColumn()
    with source.text() as text:
        for line in _lines(text, source.name):
            if isinstance(line, QuarantinedRow):
                yield line
                continue
            found = list(ledger.take(line))
            yield from found
            # The API's answers are objects without an order.
            in_order = line.origin.place.startswith("line")
            if in_order and line.get("txid") and not any(isinstance(item, QuarantinedRow) for item in found):
                yield from rescued(line.origin, line.text, lambda line=line: column.check(line))  # type: ignore[misc]
        yield from ledger.finish()
        yield from column.finish()


def _lines(text: Any, file: str) -> Iterator[Line | QuarantinedRow]:
    first = text.read(1)
    while first and first.isspace():
        first = text.read(1)
    if first == "{":
        yield from _of_api(RewoundText(first, text), file)
        return
    yield from read_table(RewoundText(first, text), file, lambda columns: columns >= LEDGER).rows


def _of_api(text: Any, file: str) -> Iterator[Line | QuarantinedRow]:
    """The ledger entries in the API's answers: objects by their id."""
    for found in read_json(text):
        if isinstance(found, MalformedJson):
            yield QuarantinedRow(Origin(file, f"line {found.line}"), found.reason, found.text)
        elif isinstance(found.value, dict):
            entries = list(_entries(found.value))
            if not entries:
                raise Unreadable(f"{file} has no ledger entries, such as the API's Ledgers answers")
            for name, entry in entries:
                cells = {key: "" if value is None else str(value) for key, value in entry.items()}
                yield Line(Origin(file, f"ledger {name}"), {**cells, "txid": name})


def _entries(value: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, each in value.items():
        if isinstance(each, dict):
            if each.keys() >= _API:
                yield name, each
            else:
                yield from _entries(each)


KIND = Kind(
    name="kraken",
    help="Kraken: ledgers.csv, with trades.csv beside it or alone",
    recognises=_recognises,
    read=_read,
)
