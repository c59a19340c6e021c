"""Proposing a mapping for a CSV file from its columns' names and its first rows. A person reads it before it is used."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

from engine.importers.csv_files import number, opened
from engine.importers.csv_mapping import split_pair
from engine.importers.items import Source, Unreadable
from engine.importers.times import TimeReader

ROWS_TO_LEARN_FROM = 200
# The usual names of columns, in lower case without blanks and signs; the first that is there is taken.
_NAMES = {
    "time": ("datetime", "time", "timestamp", "date", "dateutc", "utctime", "tradecreatedat", "createdat", "executedat",
             "at", "ts", "closetime"),
    "date": ("date", "day"),
    "clock": ("time", "clock"),
    "zone": ("timezone", "zone", "tz"),
    "id": ("tradeid", "txid", "transactionid", "id", "uid", "fillid", "executionid", "execid", "refid", "ordernumber"),
    "status": ("status", "state"),
    "side": ("side", "direction", "buysell", "type", "subtype", "tradetype"),
    "type": ("type", "transactiontype", "kind", "operation", "category"),
    "pair": ("pair", "market", "symbol", "instrument", "tradingpair", "product", "productid"),
    "base_asset": ("baseasset", "basecurrency", "base", "asset", "currency", "coin"),
    "base_amount": ("baseamount", "amount", "size", "qty", "quantity", "filled", "executed", "vol", "volume"),
    "quote_asset": ("quoteasset", "quotecurrency", "quote", "receivedpaidcurrency"),
    "quote_amount": ("quoteamount", "funds", "total", "cost", "value", "receivedpaidamount", "proceeds", "turnover"),
    "price": ("price", "rate", "avgprice", "quoteprice"),
    "fee_amount": ("feeamount", "fee", "commission", "feetotal"),
    "fee_asset": ("feeasset", "feecurrency", "feecoin", "commissionasset"),
    "order_id": ("orderid", "ordernumber", "ordertxid"),
    "tx_hash": ("txhash", "hash", "blockchaintransactionid", "transactionhash"),
    "asset": ("asset", "currency", "coin", "token"),
    "amount": ("amount", "change", "quantity", "qty"),
    "bought_asset": ("receivecurrency", "boughtcurrency", "buycurrency", "receivedcurrency"),
    "bought_amount": ("receiveamount", "boughtamount", "buyamount", "buy", "receivedamount"),
    "sold_asset": ("spendcurrency", "soldcurrency", "sellcurrency", "sentcurrency"),
    "sold_amount": ("spendamount", "soldamount", "sellamount", "sell", "sentamount"),
}  # fmt: skip
_FORMATS = (
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M",
    "%b. %d, %Y, %I:%M %p", "%b %d, %Y, %I:%M %p", "%Y/%m/%d %H:%M:%S", "%d-%m-%Y %H:%M:%S", "%m/%d/%y %H:%M",
    "%Y%m%d %H:%M:%S", "%d %b %Y %H:%M:%S",
)  # fmt: skip
# 1.234,56 and 1,234.56; what could be either is taken for the latter.
_WITH_COMMA = re.compile(r"[-+]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+),[0-9]+", re.ASCII)
_WITH_POINT = re.compile(r"[-+]?([0-9]+|[0-9]{1,3}(,[0-9]{3})+)\.[0-9]+", re.ASCII)
_GROUPED_BY_POINT = re.compile(r"[-+]?[0-9]{1,3}(\.[0-9]{3})+,[0-9]+", re.ASCII)
_GROUPED_BY_COMMA = re.compile(r"[-+]?[0-9]{1,3}(,[0-9]{3})+\.[0-9]+", re.ASCII)
_FIRST_COIN = datetime(2009, 1, 1, tzinfo=UTC)
_DONE = ("completed", "complete", "ok", "success", "successful", "done", "filled", "distributed", "closed")
_BUYS, _SELLS = ("buy", "b", "bid", "bought"), ("sell", "s", "ask", "sold")
_DEPOSITS, _WITHDRAWALS = ("deposit", "receive", "credit"), ("withdrawal", "withdraw", "send", "debit")
_REWARDS = ("staking", "reward", "staking reward", "interest", "airdrop", "cashback", "referral", "rebate", "earn")
_TRADES = ("trade", "market", "limit", "exchange")


class _Table:
    """The beginning of a file: its columns by their plain names, and the cells of each."""

    def __init__(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.header = header
        self._rows = [row for row in rows if len(row) >= len(header)]
        self._plain: dict[str, str] = {}
        for name in header:
            self._plain.setdefault(_plain(name), name)
        cells = [cell.strip() for row in self._rows for cell in row]
        has_comma = any(_WITH_COMMA.fullmatch(cell) for cell in cells)
        self.decimal = "," if has_comma and not any(_WITH_POINT.fullmatch(cell) for cell in cells) else "."
        grouped = _GROUPED_BY_POINT if self.decimal == "," else _GROUPED_BY_COMMA
        is_grouped = any(grouped.fullmatch(cell) for cell in cells)
        self.thousands = ("." if self.decimal == "," else ",") if is_grouped else ""

    def find(self, field: str, fits: Callable[[list[str]], bool] | None = None) -> str | None:
        """The column of a field by its usual names, if its cells fit; None for none."""
        for name in _NAMES[field]:
            column = self._plain.get(name)
            if column is not None and (fits is None or fits(self.cells(column))):
                return column
        return None

    def cells(self, column: str) -> list[str]:
        """The cells of a column that are not empty."""
        position = list(self.header).index(column)
        return [cell for row in self._rows if (cell := row[position].strip())]

    def are_numbers(self, cells: list[str]) -> bool:
        """Whether these cells are numbers as the file writes them."""
        try:
            for cell in cells:
                number(cell, self.decimal, self.thousands)
        except ValueError:
            return False
        return bool(cells)

    def values(self, column: str) -> list[str]:
        """The different cells of a column, in the order of their first appearance."""
        return list(dict.fromkeys(self.cells(column)))


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def propose(source: Source) -> str:
    """A mapping as YAML, with remarks on what is not sure. Raises Unreadable."""
    with source.text() as text:
        reader, header = opened(iter(text), None)
        try:
            rows = list(islice(reader, ROWS_TO_LEARN_FROM))
        except csv.Error as error:
            raise Unreadable(f"{source.name} is not CSV: {error}") from error
    if len(header) < 2:
        raise Unreadable(f"{source.name} has no header of several columns")
    return "\n".join(_lines(_Table(header, rows), source.name)) + "\n"


def _lines(table: _Table, name: str) -> Iterator[str]:
    yield f"# A proposal for {json.dumps(name)}: read it, and try it with --dry-run."
    if table.decimal != ".":
        yield f"decimal: {_quoted(table.decimal)}"
    if table.thousands:
        yield f"thousands: {_quoted(table.thousands)}"
    yield from _time_lines(table)
    found = table.find("id", lambda cells: len(cells) == len(set(cells)) > 0)
    yield f"id: {_quoted(found)}" if found else "# no column is an id: rows are recognised by their content"
    status = table.find("status")
    if status is not None:
        done = [text for text in table.values(status) if text.lower() in _DONE]
        yield f"take: {{{_quoted(status)}: {_list(done)}}}" if done else f"# which texts of {_quoted(status)} count?"
    yield "rows:"
    rules = list(_rules(table))
    yield from rules
    if not rules:
        yield "# no rule was found: columns are " + ", ".join(_quoted(column) for column in table.header)


def _time_lines(table: _Table) -> Iterator[str]:
    columns, cells = _time_columns(table)
    if not columns:
        yield "time:   # which column?"
        return
    yield f"time: {_quoted(columns[0])}" if len(columns) == 1 else f"time: {_list(columns)}"
    unlike = [cell for cell in cells if not _is_read(cell, ())]
    formats = [known for known in _FORMATS if unlike and all(_is_read(cell, (known,)) for cell in unlike)]
    if unlike and not formats:
        yield f"format:   # of such as {_quoted(unlike[0])}, as Python's strptime takes it"
    elif formats:
        others = f"   # or {_quoted(formats[1])}?" if len(formats) > 1 else ""
        yield f"format: {_quoted(formats[0])}{others}"
    zone = table.find("zone")
    if zone is not None:
        yield f"zone: {{column: {_quoted(zone)}}}"
    elif not all(_is_read(cell, formats[:1], has_zone=True) for cell in cells):
        yield "zone: UTC   # times have none: is it UTC?"


def _time_columns(table: _Table) -> tuple[list[str], list[str]]:
    """The columns of the time, and their cells joined; two where a date and a clock stand apart."""
    date, clock = table.find("date"), table.find("clock")
    if date is not None and clock is not None and not any(":" in cell for cell in table.cells(date)):
        return [date, clock], [" ".join(pair) for pair in zip(table.cells(date), table.cells(clock), strict=False)]
    column = table.find("time", lambda cells: any(any(sign.isdigit() for sign in cell) for cell in cells))
    return ([], []) if column is None else ([column], table.cells(column))


def _is_read(cell: str, formats: Sequence[str], *, has_zone: bool = False) -> bool:
    try:
        return TimeReader(None if has_zone else UTC, formats).read(cell) >= _FIRST_COIN
    except ValueError:
        return False


def _rules(table: _Table) -> Iterator[str]:
    kind = table.find("type")
    side = table.find("side", lambda cells: any(cell.lower() in (*_BUYS, *_SELLS) for cell in cells))
    yield from _fill_rules(table, side)
    yield from _exchange_rules(table, kind)
    if kind is not None:
        yield from _movement_rules(table, kind)


def _fill_rules(table: _Table, side: str | None) -> Iterator[str]:
    if side is None:
        return
    pair = table.find("pair", lambda cells: bool(cells) and all(_is_pair(cell) for cell in cells))
    amount = table.find("base_amount", table.are_numbers)
    glued = None if amount else table.find("base_amount")
    fields = [f"side: {_quoted(side)}"]
    if pair is not None:
        fields.append(f"pair: {_quoted(pair)}")
    elif glued is None:
        base, quote = table.find("base_asset"), table.find("quote_asset")
        if base is None or quote is None:
            yield "# a side was found, but neither a pair nor two assets"
            return
        fields += [f"base_asset: {_quoted(base)}", f"quote_asset: {_quoted(quote)}"]
    fields += _amount_fields(table, amount, glued)
    fields += _fee_fields(table)
    order = table.find("order_id")
    if order is not None:
        fields.append(f"order_id: {_quoted(order)}")
    texts = [text for text in table.values(side) if text.lower() in (*_BUYS, *_SELLS)]
    yield f"  - when: {{{_quoted(side)}: {_list(texts)}}}"
    yield f"    fill: {{{', '.join(fields)}}}"


def _amount_fields(table: _Table, amount: str | None, glued: str | None) -> list[str]:
    if amount is not None:
        fields = [f"base_amount: {_quoted(amount)}"]
        quote = table.find("quote_amount", table.are_numbers)
        price = table.find("price", table.are_numbers)
        if quote is not None:
            return [*fields, f"quote_amount: {_quoted(quote)}"]
        return [*fields, f"price: {_quoted(price)}"] if price is not None else fields
    if glued is None:
        return []
    part = "{{column: {}, part: {}}}"
    fields = [
        f"base_amount: {part.format(_quoted(glued), 'number')}",
        f"base_asset: {part.format(_quoted(glued), 'unit')}",
    ]
    quote = table.find("quote_amount")
    if quote is not None:
        fields += [
            f"quote_amount: {part.format(_quoted(quote), 'number')}", f"quote_asset: {part.format(_quoted(quote), 'unit')}"
        ]  # fmt: skip
    return fields


def _fee_fields(table: _Table) -> list[str]:
    fee = table.find("fee_amount", table.are_numbers)
    asset = table.find("fee_asset")
    if fee is not None and asset is not None:
        return [f"fee_asset: {_quoted(asset)}", f"fee_amount: {_quoted(fee)}"]
    glued = (
        None if fee else table.find("fee_amount", lambda cells: bool(cells) and not any(c.endswith("%") for c in cells))
    )
    if glued is not None:
        return [
            f"fee_amount: {{column: {_quoted(glued)}, part: number}}",
            f"fee_asset: {{column: {_quoted(glued)}, part: unit}}",
        ]
    return []


def _exchange_rules(table: _Table, kind: str | None) -> Iterator[str]:
    names = ["bought_amount", "sold_amount"]
    amounts = [table.find(name, table.are_numbers) for name in names]
    if None in amounts:
        return
    assets = [table.find("bought_asset"), table.find("sold_asset")]
    after = [_after(table, str(amount)) for amount in amounts]
    columns = [asset or behind for asset, behind in zip(assets, after, strict=True)]
    fields = [
        f"bought_asset: {_quoted(columns[0])}", f"bought_amount: {_quoted(amounts[0])}",
        f"sold_asset: {_quoted(columns[1])}", f"sold_amount: {_quoted(amounts[1])}",
    ]  # fmt: skip
    fee = table.find("fee_amount", table.are_numbers)
    if fee is not None:
        fee_asset = table.find("fee_asset") or _after(table, fee)
        fields += [f"fee_asset: {_quoted(fee_asset)}", f"fee_amount: {_quoted(fee)}"]
    trades = [text for text in table.values(kind) if text.lower() in _TRADES] if kind else []
    yield f"  - when: {{{_quoted(kind)}: {_list(trades)}}}" if trades else "  - when: {}"
    yield f"    fill: {{{', '.join(fields)}}}"


def _after(table: _Table, column: str) -> str | None:
    """The column behind another, which holds its asset where columns are named alike."""
    position = list(table.header).index(column) + 1
    return table.header[position] if position < len(table.header) else None


def _movement_rules(table: _Table, kind: str) -> Iterator[str]:
    texts = table.values(kind)
    amount, asset = table.find("amount", table.are_numbers), table.find("asset")
    glued = None if amount else table.find("amount")
    bought = [] if amount and asset else _both_sides(table)
    for event, known in (("deposit", _DEPOSITS), ("withdrawal", _WITHDRAWALS), ("adjustment", _REWARDS)):
        there = [text for text in texts if text.lower() in known]
        if not there:
            continue
        if amount and asset:
            fields = [f"asset: {_quoted(asset)}", f"amount: {_quoted(amount)}", *_fee_fields(table)]
        elif bought:
            asset_column, amount_column = bought[event == "withdrawal"]
            fields = [f"asset: {_quoted(asset_column)}", f"amount: {_quoted(amount_column)}"]
        elif glued:
            part = f"{{column: {_quoted(glued)}, part: "
            fields = [f"asset: {part}unit}}", f"amount: {part}number}}", *_fee_fields(table)]
        else:
            continue
        tx_hash = table.find("tx_hash") if event != "adjustment" else None
        fields += [f"tx_hash: {_quoted(tx_hash)}"] if tx_hash else []
        fields += ["reason: {value: reward}"] if event == "adjustment" else []
        yield f"  - when: {{{_quoted(kind)}: {_list(there)}}}"
        yield f"    {event}: {{{', '.join(fields)}}}"


def _both_sides(table: _Table) -> list[tuple[str | None, str]]:
    bought, sold = table.find("bought_amount", table.are_numbers), table.find("sold_amount", table.are_numbers)
    if bought is None or sold is None:
        return []
    return [
        (table.find("bought_asset") or _after(table, bought), bought),
        (table.find("sold_asset") or _after(table, sold), sold),
    ]


def _is_pair(cell: str) -> bool:
    try:
        split_pair(cell)
    except ValueError:
        return False
    return True


def _quoted(text: str | None) -> str:
    """A text as YAML has it in quotes, which JSON's are."""
    return json.dumps(text or "?", ensure_ascii=False)


def _list(texts: Sequence[str]) -> str:
    return f"[{', '.join(_quoted(text) for text in texts)}]"
