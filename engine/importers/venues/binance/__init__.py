"""`binance`: the trade history and the account statement ("Generate all statements"), as CSV.

Taken: the trade history in its layouts (`Executed` and `Amount` with glued units, such as 1.5XRP; `Market;Type;…;Fee Coin`;
base and quote in columns of their own), the futures' one (`Realized Profit`), and the account statement (`UTC_Time`, and
`Time` with `--zone`). Import only one of them for a period: both have the same trades.

What was decided:

    without ids         rows are recognised by their content and how often it occurs; a trade's own id is used where it is
    fee                 > 0 is paid, of the asset that is glued to it; a statement's fee is a negative change
    one second          a statement's rows of one second are one trade: bought, sold and fees apart, equal rows added.
                        Of more than two assets: adjustments `conversion` of one group, as for small assets that
                        become BNB
    deposit, withdraw,  movements; a positive withdrawal came back. A withdrawal's fee is not given: the amount includes it
    P2P, Pay, Send
    transfers           between accounts of one's own are passed over where both sides are in the file; else movements
    Earn                into LD tokens and back: `conversion`; locked away without a token: adjustments `locked`
    interest, rewards   `reward`; kickbacks, referrals, commissions shared: `rebate`
    futures, margin     contracts: adjustments `fee`, `funding`, `realised`; loans are quarantined
    other operations    quarantined
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from engine.importers.items import Item, Kind, Sample, Settings, Source
from engine.importers.venues.binance.statement import OPTIONAL, STATEMENT, statement
from engine.importers.venues.binance.trades import is_trades, trade
from engine.importers.venues.reading import each_rescued, head_has, read_table


def _is_header(columns: frozenset[str]) -> bool:
    return columns >= STATEMENT or is_trades(columns)


def _recognises(sample: Sample) -> bool:
    return head_has(sample.head, _is_header)


def _read(sources: Sequence[Source], settings: Settings) -> Iterator[Item]:
    for source in sources:
        with source.text() as text:
            table = read_table(text, source.name, _is_header, OPTIONAL)
            if frozenset(table.header) >= STATEMENT:
                yield from statement(table.rows, settings)
                continue
            yield from each_rescued(table.rows, partial(trade, settings=settings))


KIND = Kind(
    name="binance",
    help="Binance: the trade history and the account statement",
    recognises=_recognises,
    read=_read,
)
