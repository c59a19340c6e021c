"""`xrpl`: an account's transactions on the XRP Ledger, with their metadata, for `--account r…`.

Taken: JSON or NDJSON of `account_tx` or `tx` (API v1 and v2), a subscription's stream, ledgers with their transactions, in
pages, lists or one by one, newest or oldest first. Whole pages are read one at a time.

What was decided:

    the truth           the account's own balance changes in the metadata: AccountRoot in drops, RippleState with the low
                        account's sign, MPToken; created and deleted ones, too
    assets              XRP, CURRENCY.PEER (RLUSD.rMxCK…: hexadecimal codes are spelled), MPT:ID in the token's own units;
                        `--alias RLUSD=RLUSD.rMxCK…` names them as the book does
    network fee         an adjustment `network_fee` of whoever pays it: the sender, or its delegate
    fills               one for each of the account's offers that was taken; one for an offer or a payment to oneself that
                        took others' offers or an AMM's. Amounts are the balances'; where offers differ from them, the note
                        has the residual. A side too small to move a balance leaves an adjustment `rounding`
    pools               AMM and vault deposits and withdrawals: adjustments `liquidity` of one group, the hash
    rippling            through the account's trust lines: adjustments `conversion` of one group, the hash
    payments, checks    movements of what really moved; escrows, payment channels and bridges, too: what they hold is not in
                        the account, and a person says what it was
    clawbacks           adjustments `clawback`; auction bids `amm_bid`; paid or received for NFTs `nft`
    failed              costs its fee, nothing else
    the proof           of each transaction the events' postings are compared with the balance changes; where they differ in
                        any digit, it is quarantined with its residual

An id is transaction hash, offer sequence (of fills), account. The order is ledger index, transaction index.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from engine.importers.items import Item, Kind, Origin, QuarantinedRow, Sample, Settings, Source, Unreadable
from engine.importers.json_stream import read_json
from engine.importers.json_values import MalformedJson
from engine.importers.venues.reading import rescued, shortened
from engine.importers.venues.xrpl.envelopes import entries_in, transaction_in
from engine.importers.venues.xrpl.facts import items_of

_ACCOUNT = re.compile(r"r[1-9A-HJ-NP-Za-km-z]{24,34}", re.ASCII)


def _recognises(sample: Sample) -> bool:
    return sample.head.lstrip()[:1] in (b"{", b"[") and b'"AffectedNodes"' in sample.head


def _read(sources: Sequence[Source], settings: Settings) -> Iterator[Item]:
    if settings.account is None:
        raise Unreadable("whose side is taken? Name the account: --account r…")
    if not _ACCOUNT.fullmatch(settings.account):
        raise Unreadable(
            f"{settings.account!r} is no account of the XRP Ledger, such as rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De"
        )
    for source in sources:
        with source.text() as text:
            for found in read_json(text):
                if isinstance(found, MalformedJson):
                    yield QuarantinedRow(Origin(source.name, f"line {found.line}"), found.reason, found.text)
                else:
                    yield from _items(found.value, source.name, f"line {found.line}", settings)


def _items(value: object, file: str, place: str, settings: Settings) -> Iterator[Item]:
    account = str(settings.account)
    for where, entry, around in entries_in(value, place):
        origin = Origin(file, where)
        yield from rescued(
            origin,
            shortened(entry),
            partial(_of_entry, entry, around, account, settings, origin),
        )


def _of_entry(entry: object, around: Mapping[str, Any], account: str, settings: Settings, origin: Origin) -> list[Item]:
    return items_of(transaction_in(entry, around), account, settings, origin)


KIND = Kind(
    name="xrpl",
    help="the XRP Ledger: transactions with metadata, of account_tx or tx, as JSON or NDJSON; needs --account",
    recognises=_recognises,
    read=_read,
)
