"""`coinbase`: fills and account statements.

Taken, as CSV: Coinbase Pro's (Exchange's, Advanced's) fills (`portfolio,trade id,product,side,…`) and account statement
(`portfolio,type,time,amount,balance,…`); Coinbase's own export of transactions, old (`Spot Price Currency`) and new (`ID`,
`Price Currency`), with the lines that precede its header. Times are UTC. From Pro, import either the fills or the account
statement of a period: the trades' ids are the same.

What was decided:

    fills               quote amount = total without the fee, exactly
    account statement   match and fee rows of one trade id are a fill; conversions (USD to USDC) adjustments `conversion`
    buy, sell           a fill of the subtotal; the fee on top of it, in the price's currency; amounts have its symbol. Where
                        the notes name another asset that was paid (`for 597.6 USDC on BTC-USDC at 60000 USDC/BTC`), that
                        one, by the notes' figures
    convert             a fill of what the notes say; its spread is in the amounts, and no fee is named
    send, receive,      movements; older exports have no signs, and the type says it
    deposit, withdrawal
    ETH2 and ETH        sent and received in one second, and other migrations: adjustments `conversion` of one group
    rewards, staking    `reward`
    futures, others     quarantined
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from engine.importers.items import Item, Kind, Sample, Settings, Source
from engine.importers.venues.coinbase.exchange import ACCOUNT, FILLS, account, fill_of
from engine.importers.venues.coinbase.statement import OPTIONAL, STATEMENT, statement
from engine.importers.venues.reading import each_rescued, head_has, read_table


def _is_header(columns: frozenset[str]) -> bool:
    return columns >= FILLS or columns >= ACCOUNT or columns >= STATEMENT


def _recognises(sample: Sample) -> bool:
    return head_has(sample.head, _is_header)


def _read(sources: Sequence[Source], settings: Settings) -> Iterator[Item]:
    for source in sources:
        with source.text() as text:
            table = read_table(text, source.name, _is_header, OPTIONAL)
            columns = frozenset(table.header)
            if columns >= STATEMENT:
                yield from statement(table.rows, settings)
            elif columns >= ACCOUNT:
                yield from account(table.rows, settings)
            else:
                yield from each_rescued(table.rows, partial(fill_of, settings=settings))


KIND = Kind(
    name="coinbase",
    help="Coinbase: fills, Pro's account statement, the export of transactions",
    recognises=_recognises,
    read=_read,
)
