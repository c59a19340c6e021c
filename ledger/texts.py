"""Texts that the caller chooses (keys, names, notes, assets, hashes): which are refused. None is interpreted."""

from __future__ import annotations

import re
from functools import lru_cache

from ledger.errors import Refusal, Refused
from ledger.refusal_texts import refuse

BOOK_CHARACTERS = 64
ASSET_CHARACTERS = 128
KEY_CHARACTERS = 200
NAME_CHARACTERS = 128
NOTE_CHARACTERS = 10_000

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANK = re.compile(r"\s")
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]+")
_PREFIXED_HEXADECIMAL = re.compile(r"0[xX][0-9A-Fa-f]+")


def parse_text(given: object, *, characters: int, may_be_empty: bool = False) -> str:
    """The text, unchanged, if it is allowed. `characters`: how many it may have.

    Raises Refused: `text_required`, `text_empty`, `text_too_long`, `text_has_control_character`,
    `text_has_lone_surrogate`.
    """
    if not isinstance(given, str):
        refuse(Refusal.TEXT_REQUIRED, actual=given)
    if not given and not may_be_empty:
        raise Refused(Refusal.TEXT_EMPTY, "must not be empty", expected="at least one character")
    if len(given) > characters:
        raise Refused(
            Refusal.TEXT_TOO_LONG, "the text is too long", expected=f"at most {characters} characters", actual=given
        )
    if given.isprintable():
        return given
    if _CONTROL.search(given):
        refuse(Refusal.TEXT_HAS_CONTROL_CHARACTER, actual=given)
    if _SURROGATE.search(given):
        refuse(Refusal.TEXT_HAS_LONE_SURROGATE, actual=given.encode("ascii", "backslashreplace").decode())
    return given


def parse_asset(given: object) -> str:
    """An asset's name, unchanged, if it is allowed; it may include an issuer (`RLUSD.rMxCK…`).

    Raises Refused: `asset_has_blank`, `asset_has_equals_sign`, and whatever `parse_text` raises.
    """
    asset = parse_text(given, characters=ASSET_CHARACTERS)
    if _BLANK.search(asset):
        refuse(Refusal.ASSET_HAS_BLANK, actual=asset)
    if "=" in asset:
        refuse(Refusal.ASSET_HAS_EQUALS_SIGN, actual=asset)
    return asset


@lru_cache(maxsize=256)  # asked several times for each event
def normal_tx_hash(given: str) -> str:
    """A transaction hash in the form in which hashes are compared; "" for a blank one.

    Blanks are removed. A hexadecimal hash is in upper case, one with `0x` in lower case. Other encodings, such as Base58,
    are case-sensitive and stay as they are.
    """
    tx_hash = _BLANK.sub("", given)
    if _HEXADECIMAL.fullmatch(tx_hash):
        return tx_hash.upper()
    return tx_hash.lower() if _PREFIXED_HEXADECIMAL.fullmatch(tx_hash) else tx_hash
