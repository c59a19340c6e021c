"""The canonical bytes of the common events, as patterns: what one of them matches needs no parsing to be proved canonical.

    {"at":"2026-01-05T09:00:00.000000Z","base_amount":"10","base_asset":"XRP",…,"side":"buy","type":"fill/2","version":5}

A pattern takes a body only when it is the sorted JSON of fields that `ledger.events` would read and `ledger.stored` would
write again as the same bytes: each name once and in order, no blank and no escape, every amount and time in its one
text, every text of a length and of characters that are allowed. It is stricter than the two where that is simpler (years
1000 to 2999, no 29th of February, no tags, no `corrects`, nothing that JSON escapes): such a body is left to the prover.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from ledger.texts import ASSET_CHARACTERS, BOOK_CHARACTERS, KEY_CHARACTERS, NAME_CHARACTERS, NOTE_CHARACTERS

Texts = Mapping[str, tuple[str | None, ...]]

_DAY = "[12][0-9]{3}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
_TIME = _DAY + r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z"
_NOT_NEGATIVE = r"(?:0|[1-9][0-9]{0,19})(?:\.[0-9]{0,35}[1-9])?"
_POSITIVE = f'(?!0"){_NOT_NEGATIVE}'
_AMOUNT = f'(?!-0")-?{_NOT_NEGATIVE}'
_SIGNED = f'(?!-?0")-?{_NOT_NEGATIVE}'
# No control character, no quotation mark and no backslash; the decoder has refused halves of surrogate pairs.
_CHARACTER = r'[^\x00-\x1f\x7f-\x9f"\\]'
_ASSET = rf'[^\s\x00-\x1f\x7f-\x9f"\\=]{{1,{ASSET_CHARACTERS}}}'
# A hash in the form in which hashes are compared, or another text.
_UPPER_HEX = f"[0-9A-F]{{1,{KEY_CHARACTERS}}}"

COLUMN_TIME = re.compile(_TIME)
COLUMN_AMOUNT = re.compile(r"(?!-0\Z)-?" + _NOT_NEGATIVE)


def _text(most: int, least: int = 1) -> str:
    return f"{_CHARACTER}{{{least},{most}}}"


_LABEL, _NOTE, _KEY, _NAME = (
    _text(KEY_CHARACTERS, 0),
    _text(NOTE_CHARACTERS, 0),
    _text(KEY_CHARACTERS),
    _text(NAME_CHARACTERS),
)

# Of every event; one that ends in "?" may be left out. `event_id` is the program's own, of any length.
_ENVELOPE = {
    "actor?": _LABEL,
    "at": _TIME,
    "book": _text(BOOK_CHARACTERS),
    "event_id": f"{_CHARACTER}*",
    "key": _KEY,
    "recorded_at": _TIME,
    "session_id?": _LABEL,
    "source_note?": _NOTE,
    "tx_hash?": f"{_UPPER_HEX})|({_LABEL}",
}
_FIELDS: Mapping[str, Mapping[str, str]] = {
    "fill": {
        "base_amount": _POSITIVE,
        "base_asset": _ASSET,
        "fee_amount?": _AMOUNT,
        "fee_asset?": _ASSET,
        "liquidity?": "maker|taker",
        "order_id?": _LABEL,
        "quote_amount": _POSITIVE,
        "quote_asset": _ASSET,
        "side": "buy|sell",
        "strategy?": _NAME,
    },
    "deposit": {
        "amount": _POSITIVE,
        "asset": _ASSET,
        "basis_delta?": _AMOUNT,
        "basis_unknown!": "true|false",
        "price?": _POSITIVE,
    },
    "mark": {"asset": _ASSET, "price": _NOT_NEGATIVE, "price_source?": _LABEL},
    "adjustment": {"amount": _SIGNED, "asset": _ASSET, "group?": _KEY, "reason": _KEY},
}
# The newest version of each type that the patterns know; a newer one is left to the prover.
VERSIONS = {"fill": "[12]", "deposit": "[12]", "mark": "1", "adjustment": "[12]"}


@dataclass(frozen=True, slots=True)
class Form:
    """A type's pattern; `names` are those of its groups: the fields, `other_hash` and `type_version`."""

    source: str
    names: tuple[str, ...]

    @property
    def pattern(self) -> re.Pattern[str]:
        """Made when it is needed first, since most commands read no bytes."""
        return _compiled(self.source)

    def read(self, bodies: Iterable[bytes]) -> Texts | None:
        """The texts of the bodies by field, None for a field that is left out; None unless all bodies are of the form."""
        try:
            matches = map(self.pattern.fullmatch, map(bytes.decode, bodies))
            found = [match.groups() if match else None for match in matches]
        except (UnicodeDecodeError, TypeError):  # TypeError: not bytes
            return None
        if None in found:
            return None
        return dict(zip(self.names, zip(*found, strict=True), strict=True))


@cache
def _compiled(source: str) -> re.Pattern[str]:
    return re.compile(source)


def _form(kind: str) -> Form:
    parts, names = [], []
    fields = {**_ENVELOPE, **_FIELDS[kind], "type": ""}
    for marked in sorted(fields, key=lambda field: field.rstrip("?!")):
        name = marked.rstrip("?!")
        if name == "type":
            parts.append(f'"type":"{kind}/({VERSIONS[kind]})",')
            names.append("type_version")
            continue
        quote = "" if marked.endswith("!") else '"'
        part = f'"{name}":{quote}({fields[marked]}){quote},'
        if name == "tx_hash":
            part = f'"tx_hash":"(?:({fields[marked]}))",'
        # An empty alternative is matched faster than a part that may be repeated 0 or 1 times.
        parts.append(f"(?:{part}|)" if marked.endswith("?") else part)
        names += [name, "other_hash"] if name == "tx_hash" else [name]
    pattern = r"\{" + "".join(parts) + r'"version":([1-9][0-9]{0,14})\}'
    return Form(pattern, (*names, "version"))


FORMS: Mapping[str, Form] = {kind: _form(kind) for kind in _FIELDS}
