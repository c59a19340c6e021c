"""Signatures and timestamps of heads that were kept, held against what a check has found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from engine.proof.check import LedgerReport
from engine.proof.heads import ExpectedHead, statement
from engine.proof.vouching import Verify, verifier, verify_stamp
from ledger.integrity.findings import Finding
from ledger.integrity.prover import CHAIN
from ledger.times import time_text


@dataclass(frozen=True, slots=True)
class Vouching:
    """Who is to have vouched for the heads; None for what is not asked.

    public_key:  every head must be signed with its private key
    answer:      of the authority that stamped the one expected head
    authority:   the certificates that are trusted
    """

    public_key: Path | None
    answer: Path | None
    authority: Path | None


def vouch(wanted: Vouching, checked: LedgerReport, heads: Sequence[ExpectedHead]) -> tuple[list[Finding], list[str]]:
    """What does not hold of signatures and stamps, and notes on what does.

    A head without a book is that of the one book that was checked. Raises Refused `key_unusable`, `stamp_unreadable`.
    """
    found: list[Finding] = []
    notes: list[str] = []
    only = checked.books[0].book or ""
    signed = {(head.book or only, head.version, head.hash) for head in heads if head.signature is not None}
    # Read once, and only where a head has a signature.
    verify = None if wanted.public_key is None else cache(partial(verifier, wanted.public_key))
    for head in heads:
        place = head.place or "the expected head"
        if head.signature is None and (head.book or only, head.version, head.hash) in signed:
            continue  # it stands in the file once more, signed
        if verify is not None:
            found += _unsigned(verify, head, head.book or only, place)
    if wanted.answer is not None and wanted.authority is not None:
        (head,) = heads[:1]
        assert head.version is not None
        stamp = verify_stamp(wanted.answer, wanted.authority, statement(only, head.version, head.hash))
        if isinstance(stamp, str):
            found.append(Finding(CHAIN, head.version, f"the timestamp does not vouch for the expected head: {stamp}"))
        else:
            notes.append(f"the expected head was stamped at {time_text(stamp.at)} by an authority of {stamp.authority}")
    return found, notes


def _unsigned(verify: Callable[[], Verify], head: ExpectedHead, book: str, place: str) -> list[Finding]:
    if head.version is None or head.signature is None:
        return [Finding(CHAIN, head.version, f"{place} is not signed")]
    if verify()(statement(book, head.version, head.hash), head.signature):
        return []
    return [Finding(CHAIN, head.version, f"the signature of {place} is not that of the key")]
