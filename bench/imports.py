"""`python -m bench.imports`: rows a second of `import`, for every kind of file, beside `append --file` of the same fills.

Each file holds the same fills, as the venue or the bot writes them, and is imported into a new ledger by the installed
command, so that reading, spooling, recognising and appending are all in the figure.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path

from bench import children
from bench.fills import fills
from bench.measures import NETBASIS, new_ledger
from bench.report import Line, machine, table

Fields = dict[str, str]
ME = "rMEaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
TAKER = "rHERaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
ISSUER = "rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De"
RLUSD = "524C555344000000000000000000000000000000"
NOBODY = "rrrrrrrrrrrrrrrrrrrrBZbvji"
RIPPLE_EPOCH_S = 946_684_800
MAPPING = """
time: at
id: key
rows:
  - fill:
      {side: side, base_asset: base, base_amount: bought, quote_asset: quote, quote_amount: paid, fee_asset: coin,
       fee_amount: fee}
"""


def _table(header: str, rows: Iterator[Sequence[object]]) -> str:
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(header.split(","))
    writer.writerows(rows)
    return text.getvalue()


def _seconds(fields: Fields) -> str:
    return fields["at"][:19].replace("T", " ")


def _price(fields: Fields) -> str:
    return f"{Decimal(fields['quote_amount']) / Decimal(fields['base_amount']):f}"


def _xrpl(given: Sequence[Fields]) -> str:
    """My offer is taken whole by somebody else, who pays the fee."""
    drops, tokens = 10**16, Decimal(10**9)
    lines = []
    for sequence, fields in enumerate(given, 1):
        sign = 1 if fields["side"] == "buy" else -1
        base, quote = int(Decimal(fields["base_amount"]) * 10**6), Decimal(fields["quote_amount"])
        before, tokens_before = drops, tokens
        drops, tokens = drops + sign * base, tokens - sign * quote
        gives, gets = (_token(quote), str(base)) if sign > 0 else (str(base), _token(quote))
        none = (_token(Decimal(0)), "0") if sign > 0 else ("0", _token(Decimal(0)))
        nodes = [
            _node("AccountRoot", {"Account": ME, "Balance": str(drops)}, {"Balance": str(before)}),
            _node(
                "RippleState",
                {"Balance": _balance(tokens), "LowLimit": _token(Decimal(0), ME), "HighLimit": _token(Decimal(0))},
                {"Balance": _balance(tokens_before)},
            ),
            _node(
                "Offer",
                {"Account": ME, "Sequence": sequence, "TakerGets": none[0], "TakerPays": none[1]},
                {"TakerGets": gives, "TakerPays": gets},
                "DeletedNode",
            ),
        ]
        date = int(datetime.fromisoformat(fields["at"]).timestamp()) - RIPPLE_EPOCH_S
        entry = {
            "validated": True,
            "tx": {
                "Account": TAKER,
                "Fee": "12",
                "Sequence": sequence,
                "TransactionType": "OfferCreate",
                "hash": fields["tx_hash"],
                "date": date,
                "ledger_index": 90_000_000 + sequence,
            },
            "meta": {"AffectedNodes": nodes, "TransactionResult": "tesSUCCESS", "TransactionIndex": 1},
        }
        lines.append(json.dumps(entry))
    return "\n".join(lines)


def _token(value: Decimal, issuer: str = ISSUER) -> dict[str, str]:
    return {"currency": RLUSD, "issuer": issuer, "value": f"{value:f}"}


def _balance(value: Decimal) -> dict[str, str]:
    return _token(value, NOBODY)


def _node(kind: str, fields: dict[str, object], before: dict[str, object], what: str = "ModifiedNode") -> object:
    return {what: {"LedgerEntryType": kind, "FinalFields": fields, "PreviousFields": before}}


def _ccxt(given: Sequence[Fields]) -> str:
    lines = (
        {
            "id": fields["order_id"],
            "datetime": fields["at"],
            "symbol": "XRP/RLUSD",
            "side": fields["side"],
            "amount": fields["base_amount"],
            "price": None,
            "cost": fields["quote_amount"],
            "fee": {"currency": fields["fee_asset"], "cost": fields["fee_amount"]},
            "info": {},
        }
        for fields in given
    )
    return "\n".join(map(json.dumps, lines))


def _kraken(given: Sequence[Fields]) -> str:
    """Two rows a trade, each with the balance after it."""

    def rows() -> Iterator[Sequence[object]]:
        held = {"XRP": Decimal(10**9), "USD": Decimal(10**9)}
        yield "LD1", "D1", "2020-01-01 00:00:00", "deposit", "", "currency", "USD", held["USD"], 0, held["USD"]
        for number, fields in enumerate(given):
            sign = 1 if fields["side"] == "buy" else -1
            amounts = {"XRP": sign * Decimal(fields["base_amount"]), "USD": -sign * Decimal(fields["quote_amount"])}
            for asset, amount in amounts.items():
                held[asset] += amount
                left = held[asset] if asset == "USD" else held[asset] - 10**9
                row = f"L{number}{asset}", f"T{number}", _seconds(fields), "trade", "", "currency", asset
                yield *row, f"{amount:f}", 0, f"{left:f}"

    return _table("txid,refid,time,type,subtype,aclass,asset,amount,fee,balance", rows())


def _binance(given: Sequence[Fields]) -> str:
    rows = (
        (
            _seconds(fields),
            "XRPUSDT",
            fields["side"].upper(),
            _price(fields),
            f"{fields['base_amount']}XRP",
            f"{fields['quote_amount']}USDT",
            f"{fields['fee_amount']}XRP",
        )
        for fields in given
    )
    return _table("Date(UTC),Pair,Side,Price,Executed,Amount,Fee", rows)


def _coinbase(given: Sequence[Fields]) -> str:
    def rows() -> Iterator[Sequence[object]]:
        for fields in given:
            size, total = fields["base_amount"], Decimal(fields["quote_amount"])
            signed = f"{-total if fields['side'] == 'buy' else total:f}"
            time = f"{fields['at'][:23]}Z"
            row = "default", fields["order_id"], "XRP-USD", fields["side"].upper(), time, size, "XRP"
            yield *row, _price(fields), "0", signed, "USD"

    return _table(
        "portfolio,trade id,product,side,created at,size,size unit,price,fee,total,price/fee/total unit", rows()
    )


def _hummingbot(given: Sequence[Fields]) -> str:
    header = (
        "exchange_trade_id,config_file_path,strategy,market,symbol,base_asset,quote_asset,timestamp,order_id,trade_type,"
        "order_type,price,amount,leverage,trade_fee,position,age"
    )
    fee = "{'fee_type': 'AddedToCost', 'percent': '0', 'percent_token': None, 'flat_fees': []}"

    def rows() -> Iterator[Sequence[object]]:
        for fields in given:
            at = int(datetime.fromisoformat(fields["at"]).timestamp() * 1000)
            row = fields["order_id"], "conf.yml", "pure_market_making", "xrpl", "XRP-RLUSD", "XRP", "RLUSD", at
            amounts = _price(fields)[:12], fields["base_amount"]
            yield *row, fields["order_id"], fields["side"].upper(), "LIMIT_MAKER", *amounts, 1, fee, "NIL", "n/a"

    return _table(header, rows())


def _freqtrade(given: Sequence[Fields]) -> str:
    """A trade each, with one filled order."""
    trades = []
    for number, fields in enumerate(given, 1):
        price, at = float(_price(fields)), _seconds(fields)
        sum_of_order = {"filled": float(fields["base_amount"]), "average": price, "cost": float(fields["quote_amount"])}
        order = {"order_id": fields["order_id"], "ft_order_side": fields["side"], "status": "closed", **sum_of_order}
        trade = {
            "exchange": "kraken",
            "pair": "XRP/RLUSD",
            "base_currency": "XRP",
            "stake_currency": "RLUSD",
            "is_open": 1,
        }
        trade |= {
            "id": number,
            "open_date": at,
            "close_date": None,
            "open_rate": price,
            "amount": sum_of_order["filled"],
        }
        trade |= {"fee_open": 0.0, "fee_open_cost": 0.0, "fee_open_currency": "RLUSD", "strategy": "S"}
        trades.append({**trade, "orders": [{**order, "order_filled_date": at}]})
    return json.dumps({"trades": trades})


def _mapped(given: Sequence[Fields]) -> str:
    names = "at", "key", "side", "base_asset", "base_amount", "quote_asset", "quote_amount", "fee_asset", "fee_amount"
    rows = ([fields[name] for name in names] for fields in given)
    return _table("at,key,side,base,bought,quote,paid,coin,fee", rows)


def _candles(given: Sequence[Fields]) -> str:
    return _table("at,price,size", ((fields["at"], _price(fields)[:14], fields["base_amount"]) for fields in given))


# By kind: the file's text, and what the command line says beside it.
KINDS: dict[str, tuple[Callable[[Sequence[Fields]], str], tuple[str, ...]]] = {
    "xrpl": (_xrpl, ("--account", ME, "--alias", f"RLUSD=RLUSD.{ISSUER}")),
    "ccxt": (_ccxt, ()),
    "kraken": (_kraken, ("--alias", "RLUSD=USD")),
    "binance": (_binance, ()),
    "coinbase": (_coinbase, ()),
    "hummingbot": (_hummingbot, ()),
    "freqtrade": (_freqtrade, ()),
    "csv": (_mapped, ("--mapping", "mapping.yaml")),
    "candles": (_candles, ("--asset", "XRP")),
}


def all_lines(folder: Path, count: int, seed: int) -> Iterator[Line]:
    """Every kind, with `count` fills; and the peak memory of each import."""
    given = list(fills(count, seed))
    plain = folder / "fills.ndjson"
    plain.write_text("\n".join(map(json.dumps, given)))
    appended = children.run(NETBASIS, "--db", str(new_ledger(folder / "plain.db")), "append", "--file", str(plain))
    (folder / "mapping.yaml").write_text(MAPPING)
    memory = []
    for kind, (written, more) in KINDS.items():
        file = folder / f"{kind}.file"
        file.write_text(written(given))
        options = [str(folder / word) if word == "mapping.yaml" else word for word in more]
        ledger = new_ledger(folder / f"{kind}.db")
        done = children.run(NETBASIS, "--db", str(ledger), "import", kind, str(file), *options)
        yield Line(f"import {kind}", count / done.seconds, "per s", "append --file", count / appended.seconds)
        memory.append(Line(f"peak memory, import {kind}", done.peak_mib, "MiB", "append --file", appended.peak_mib))
    yield from memory


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.imports", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "--rows", type=int, default=100_000, metavar="N", help="fills in each file (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the fills (default %(default)s)")
    given = parser.parse_args()
    print(", ".join(f"{name} {fact}" for name, fact in machine().items()))
    with tempfile.TemporaryDirectory(prefix="netbasis-bench-") as folder:
        lines = list(all_lines(Path(folder), given.rows, given.seed))
    print(f"\n{given.rows:,} fills a file\n" + "\n".join(table(lines)))


if __name__ == "__main__":
    main()
