"""What each refusal says, apart from the rules that refuse.

A rule reads as a condition and a code:

    if event.base_asset == event.quote_asset:
        refuse(Refusal.ASSETS_MUST_DIFFER, field="quote_asset", actual=f"{event.base_asset} twice")

and its wording stands here. A refusal that is worded differently in each place, such as `TIME_MALFORMED`, is not in the
table: the place that raises it builds a `Refused` of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from ledger.errors import Refusal, Refused


@dataclass(frozen=True, slots=True)
class RefusalText:
    """The wording of a refusal. `{name}` in it stands for a fact that the rule passes to `refuse`.

    what:      what is wrong
    expected:  what is allowed; None when the rule passes the value itself, or there is nothing to say
    advice:    what to do; None when what was expected says it
    """

    what: str
    expected: str | None = None
    advice: str | None = None


TEXTS: Mapping[Refusal, RefusalText] = {
    # The line
    Refusal.LINE_TOO_LONG: RefusalText(
        "the line is too long for one event", "at most {most} bytes", "give one event a line; is this NDJSON?"
    ),
    Refusal.FIELD_DUPLICATE: RefusalText("a field is given twice in one object", "each field once"),
    # A field by itself
    Refusal.TEXT_REQUIRED: RefusalText("must be a text", "a text in quotes"),
    Refusal.TEXT_HAS_CONTROL_CHARACTER: RefusalText(
        "the text has a control character (a line break, tab, NUL or escape)", "printable characters"
    ),
    Refusal.TEXT_HAS_LONE_SURROGATE: RefusalText(
        "the text has half of a surrogate pair, which no encoding can store", "whole characters"
    ),
    Refusal.ASSET_HAS_BLANK: RefusalText("an asset has no blanks", "a name such as XRP"),
    Refusal.ASSET_HAS_EQUALS_SIGN: RefusalText(
        "an asset has no equals sign: it separates asset and price in ASSET=PRICE", "a name such as XRP"
    ),
    Refusal.FLAG_MALFORMED: RefusalText("not a flag", "true or false, without quotes"),
    Refusal.VERSION_MALFORMED: RefusalText("not a version", "a whole number from 1, without quotes"),
    Refusal.TIME_WITHOUT_ZONE: RefusalText(
        "the time has no zone", "a time with Z or an offset", "if it is UTC, append Z: {given}Z"
    ),
    Refusal.TIME_TOO_PRECISE: RefusalText(
        "the time is finer than a microsecond",
        "at most 6 decimals of a second",
        "cut it to microseconds; the order of events is the version, not the time",
    ),
    Refusal.NUMBER_NOT_QUOTED: RefusalText(
        "an amount must be a text in quotes: JSON readers may change the digits of a bare number",
        'a text such as "1.50"',
        'put the number in quotes: "1.50"',
    ),
    Refusal.AMOUNT_MALFORMED: RefusalText(
        "not a decimal number",
        "digits 0-9 with an optional sign -, point and exponent",
        "write it like 181.1375018324144, without blanks, underscores or thousands separators",
    ),
    Refusal.AMOUNT_OUT_OF_RANGE: RefusalText(
        "the amount is too large",
        "at most {most} digits before the point",
        "check the unit: an amount this large is usually one in drops or wei",
    ),
    Refusal.AMOUNT_TOO_PRECISE: RefusalText(
        "the amount has too many decimals",
        "at most {most} digits after the point",
        "netbasis never rounds an amount: give the digits that were exchanged",
    ),
    Refusal.AMOUNT_MUST_BE_POSITIVE: RefusalText("must be more than 0", "an amount > 0"),
    Refusal.AMOUNT_MUST_NOT_BE_ZERO: RefusalText("must not be 0", "an amount other than 0"),
    Refusal.AMOUNT_MUST_NOT_BE_NEGATIVE: RefusalText("must not be negative", "an amount ≥ 0"),
    Refusal.PRICE_MUST_BE_POSITIVE: RefusalText("must be more than 0", "a price > 0"),
    Refusal.PRICE_MUST_NOT_BE_NEGATIVE: RefusalText("must not be negative", "a price ≥ 0"),
    # Fields against each other and against the book
    Refusal.POOL_MIXED: RefusalText(
        "the books {one} and {other} differ in {what}, so they cannot be looked at as one",
        advice="name those that belong together: --book NAME --book NAME",
    ),
    Refusal.KEY_UNKNOWN: RefusalText("no event of the book has this key", advice="see `netbasis register`"),
    Refusal.BOOK_DIFFERS: RefusalText("the event names another book than the one it is appended to"),
    Refusal.BOOK_ALREADY_OPEN: RefusalText(
        "a book is opened once, by its first event", advice="open another book with `netbasis --book NAME init`"
    ),
    Refusal.AT_IN_FUTURE: RefusalText(
        "at: the time is ahead of the clock",
        "at most {latest}, 5 minutes after the clock",
        "check the year and the zone; without it, the time is now",
    ),
    Refusal.ASSET_IS_PAIR: RefusalText(
        "{field}: {base}/{quote} is a pair, not an asset",
        "one asset",
        'of a fill, the base asset is "{base}" and the quote asset "{quote}"',
    ),
    Refusal.ASSETS_MUST_DIFFER: RefusalText("a fill exchanges one asset for another", "two assets"),
    Refusal.FEE_ASSET_REQUIRED: RefusalText(
        "a fee needs its asset",
        "the field fee_asset",
        "if it is not known, leave fee_amount out: the fee is recorded as unknown, not as 0",
    ),
    Refusal.ASSET_MUST_BE_NUMERAIRE: RefusalText("the basis is counted in the numeraire"),
    Refusal.ASSET_MUST_NOT_BE_NUMERAIRE: RefusalText(
        "{asset} is the numeraire: its mark is 1 and nothing else", "another asset"
    ),
    Refusal.PRICE_REQUIRED: RefusalText(
        "an amount of {asset} has no value without a price", "the price of one {asset} in {numeraire}"
    ),
    Refusal.PRICE_MUST_BE_ABSENT: RefusalText("{asset} is the numeraire: its price is 1 and nothing else", "no price"),
    Refusal.VALUE_OUT_OF_RANGE: RefusalText(
        "the value, amount × price, is too large", "at most 20 digits before the point"
    ),
    Refusal.BASIS_DELTA_AND_UNKNOWN: RefusalText(
        "a basis cannot be both given and unknown", "basis_delta or basis_unknown"
    ),
    Refusal.BASIS_DELTA_MUST_NOT_BE_POSITIVE: RefusalText("a withdrawal cannot add to the basis", "a basis_delta ≤ 0"),
    Refusal.AMOUNT_MUST_EQUAL_BASIS_DELTA: RefusalText("the amount of a basis commit is the size of its basis_delta"),
    # The event against the log that it lands on
    Refusal.CORRECTED_VERSION_UNKNOWN: RefusalText(
        "the event to correct is not in the book", "a version from 1 to {newest}"
    ),
    Refusal.CORRECTED_NOT_REVERSED: RefusalText(
        "the event to correct was not reversed, so both would count",
        "version {version} reversed",
        "reverse version {version} first",
    ),
    Refusal.REVERSED_VERSION_UNKNOWN: RefusalText(
        "the event to reverse is not in the book", "a version from 1 to {newest}"
    ),
    Refusal.REVERSAL_NOT_ALLOWED: RefusalText(
        "version {version} is of a type that cannot be reversed", "one of {reversible}"
    ),
    Refusal.ALREADY_REVERSED: RefusalText(
        "version {version} was reversed already, by version {reversal}", "an event that still stands"
    ),
    # A decision on capital
    Refusal.SHORT_LOT: RefusalText(
        "version {version} disposes of more than was held at its time",
        "enough of the asset",
        "leave out --no-shorts, or append what is missing before it",
    ),
    Refusal.SEGMENTS_MISSING: RefusalText(
        "the book has no segments", "segments", "write them with `netbasis seal`, or leave out --engine columns"
    ),
    Refusal.INBOX_PENDING: RefusalText(
        "{waits} in the inbox{held}: a decision now would not take them into account",
        "an empty inbox",
        "see `netbasis inbox`, and resolve or dismiss what waits; to decide all the same, give --even-so",
    ),
    Refusal.TRANSFER_SAME_BOOK: RefusalText(
        "a transfer needs two books", "another book", "an amount that stays in the book is not recorded at all"
    ),
    Refusal.TRANSFER_TERMS_DIFFER: RefusalText(
        "the two books differ in {what}, so a basis cannot move between them",
        advice="record a withdrawal in the one and a deposit in the other",
    ),
    Refusal.TRANSFER_RECORDED: RefusalText(
        "the {kind} of this transaction is in the book {book} already, at version {version}",
        "a transaction that neither book has",
        "tie the two movements with `netbasis transfer --link BOOK:VERSION BOOK:VERSION`",
    ),
    Refusal.TRANSFER_NOT_A_PAIR: RefusalText("the two events are not the two sides of one movement"),
    Refusal.TRANSFER_UNPAIRED: RefusalText(
        "one side of the transfer {id} would stand without the other",
        "both sides in one transaction",
        "use `netbasis transfer` and `netbasis reverse`, with both books in one ledger",
    ),
    Refusal.BASIS_INCOMPLETE: RefusalText(
        "profit and principal cannot be told apart: deposits whose basis is unknown: {unknown_bases}",
        "the synthetic initial basis",
        "commit it once with `netbasis backfill-basis --amount …`",
    ),
    Refusal.BASIS_IS_COMPLETE: RefusalText(
        "the basis of every deposit is known, so an initial basis would count it twice",
        "a book with deposits whose basis is unknown, or without deposits",
        "do not commit one; if the book needs it all the same, give --even-so",
    ),
    Refusal.INITIAL_BASIS_KEY_FIXED: RefusalText(
        "the key of the initial basis is fixed, so that a book has only one", advice="leave --key out"
    ),
    Refusal.INSUFFICIENT_BALANCE: RefusalText(
        "the book does not hold that much {asset}",
        "at most {balance}",
        "if it has happened already, record it with `netbasis append withdrawal`",
    ),
    Refusal.MARK_MISSING: RefusalText(
        "the book holds {asset}, which has no mark price",
        "a mark of {asset}",
        "append a mark, or give a price with --price {asset}=…",
    ),
    Refusal.MARK_STALE: RefusalText(
        "the newest mark of {asset} is too old",
        "one of {earliest} or later",
        "append a mark, or give a price with --price {asset}=…",
    ),
    Refusal.EXCEEDS_EQUITY: RefusalText(
        "the withdrawal is worth more than everything in the book", "at most {equity} {numeraire}"
    ),
    # Files of venues and bots, and the inbox
    Refusal.INBOX_ENTRY_UNKNOWN: RefusalText(
        "the inbox has no such entry", "a number that `netbasis inbox --all` shows"
    ),
    Refusal.INBOX_ENTRY_SETTLED: RefusalText(
        "entry {number} of the inbox does not wait any more", "an entry that `netbasis inbox` shows"
    ),
    Refusal.INBOX_ANSWER_MISMATCH: RefusalText(
        "entry {number} of the inbox needs another answer: {why}", advice="{what}"
    ),
    Refusal.INBOX_STILL_WAITS: RefusalText(
        "it still cannot be recorded: {why} ({code})", advice="give --price, or state the basis with --basis"
    ),
    # Heads that are kept elsewhere
    Refusal.HEADS_MALFORMED: RefusalText(
        "{place} is not a head", "a line that `netbasis head --append` wrote, or [VERSION:]HASH"
    ),
    Refusal.HEAD_FELL_BACK: RefusalText(
        "{place} of the file has a later or a different head of the book {book}: the log was cut or rewritten",
        advice="run `netbasis check --heads` with that file",
    ),
    Refusal.KEY_UNUSABLE: RefusalText(
        "{file} cannot be used", "an Ed25519 key without a password, or certificates, as PEM or OpenSSH writes them"
    ),
    Refusal.STAMP_UNREADABLE: RefusalText("{file} is not an authority's answer", "a TimeStampResp of RFC 3161, in DER"),
    # Backups
    Refusal.BACKUP_EXISTS: RefusalText(
        "there is a file {file} already, or one that belongs to it",
        "a new file",
        "no backup is overwritten: give it another name, such as one with the date",
    ),
    Refusal.BACKUP_UNSOUND: RefusalText(
        "the copy does not pass `check`, so it is no backup",
        advice="run `netbasis check` on the ledger; to keep it as it is, copy its files",
    ),
    Refusal.RESTORE_LOSES: RefusalText(
        "the book {book} of the ledger has an event at version {version} that the backup lacks: {at}",
        "a ledger all of whose events are in the backup",
        "restore into another file and compare; to give the newer events up, move the ledger away first",
    ),
    Refusal.LEDGER_IN_USE: RefusalText(
        "a running program has the ledger open",
        "a ledger that no other program has open",
        "stop the program, then restore again",
    ),
}


def refuse(
    refusal: Refusal,
    *,
    field: str | None = None,
    expected: object | None = None,
    actual: object | None = None,
    **facts: object,
) -> NoReturn:
    """Raises Refused in the words of `TEXTS`, `{…}` filled in from `facts` (and `field`).

    `field`: the field that is refused, None for none. `expected`, `actual`: what was allowed and what was given; None
    where the text says it, or where there is nothing to say.
    """
    text = TEXTS[refusal]
    facts["field"] = field
    if expected is None and text.expected is not None:
        expected = text.expected.format_map(facts)
    raise Refused(
        refusal,
        text.what.format_map(facts),
        expected=expected,
        actual=actual,
        advice=None if text.advice is None else text.advice.format_map(facts),
        field=field,
    )
