"""Every error that a caller can meet.

    NetbasisError
    ├── Refused           a rule or bad data; exit code 1; `code` is one of `Refusal`
    ├── Conflict          somebody else wrote first; exit code 3
    │   ├── VersionPassed     the head is no longer at the expected version
    │   ├── KeyConflict       the idempotency key is in the book with different content
    │   ├── MovementConflict  the transaction's movement is in the book under another key, with another amount
    │   └── ExistsReversed    the idempotency key belongs to an event that was reversed
    └── StorageError      the storage cannot be trusted or reached; exit code 4; `code` is one of `StorageFault`

An error says what is wrong, what was expected, what was found and what to do. Codes are stable: scripts may match them.
A failing `assert` means a bug in netbasis; an error of this module means that the caller, the data or the storage is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

SHOWN_CHARACTERS = 80


class Refusal(StrEnum):
    """Why an event or a request is refused, in order of precedence: if several apply, the first one is reported."""

    # The line
    LINE_TOO_LONG = "line_too_long"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    FIELD_DUPLICATE = "field_duplicate"
    TYPE_UNKNOWN = "type_unknown"
    FIELD_UNKNOWN = "field_unknown"
    FIELD_REQUIRED = "field_required"
    # A field by itself
    TEXT_REQUIRED = "text_required"
    TEXT_EMPTY = "text_empty"
    TEXT_TOO_LONG = "text_too_long"
    TEXT_HAS_CONTROL_CHARACTER = "text_has_control_character"
    TEXT_HAS_LONE_SURROGATE = "text_has_lone_surrogate"
    ASSET_HAS_BLANK = "asset_has_blank"
    ASSET_HAS_EQUALS_SIGN = "asset_has_equals_sign"
    CHOICE_UNKNOWN = "choice_unknown"
    FLAG_MALFORMED = "flag_malformed"
    VERSION_MALFORMED = "version_malformed"
    TIME_MALFORMED = "time_malformed"
    TIME_WITHOUT_ZONE = "time_without_zone"
    TIME_TOO_PRECISE = "time_too_precise"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    NUMBER_NOT_QUOTED = "number_not_quoted"
    AMOUNT_MALFORMED = "amount_malformed"
    AMOUNT_OUT_OF_RANGE = "amount_out_of_range"
    AMOUNT_TOO_PRECISE = "amount_too_precise"
    AMOUNT_MUST_BE_POSITIVE = "amount_must_be_positive"
    AMOUNT_MUST_NOT_BE_ZERO = "amount_must_not_be_zero"
    AMOUNT_MUST_NOT_BE_NEGATIVE = "amount_must_not_be_negative"
    PRICE_MUST_BE_POSITIVE = "price_must_be_positive"
    PRICE_MUST_NOT_BE_NEGATIVE = "price_must_not_be_negative"
    MARKS_MALFORMED = "marks_malformed"
    TAGS_MALFORMED = "tags_malformed"
    # Fields against each other and against the book
    BOOK_UNKNOWN = "book_unknown"
    BOOK_REQUIRED = "book_required"
    POOL_MIXED = "pool_mixed"
    VERSION_UNKNOWN = "version_unknown"
    KEY_UNKNOWN = "key_unknown"
    KEY_REQUIRED = "key_required"
    POLICY_UNKNOWN = "policy_unknown"
    BOOK_DIFFERS = "book_differs"
    BOOK_ALREADY_OPEN = "book_already_open"
    AT_IN_FUTURE = "at_in_future"
    ASSET_IS_PAIR = "asset_is_pair"
    ASSETS_MUST_DIFFER = "assets_must_differ"
    FEE_ASSET_REQUIRED = "fee_asset_required"
    ASSET_MUST_BE_NUMERAIRE = "asset_must_be_numeraire"
    ASSET_MUST_NOT_BE_NUMERAIRE = "asset_must_not_be_numeraire"
    PRICE_REQUIRED = "price_required"
    PRICE_MUST_BE_ABSENT = "price_must_be_absent"
    VALUE_OUT_OF_RANGE = "value_out_of_range"
    BASIS_DELTA_AND_UNKNOWN = "basis_delta_and_unknown"
    BASIS_DELTA_MUST_NOT_BE_POSITIVE = "basis_delta_must_not_be_positive"
    AMOUNT_MUST_EQUAL_BASIS_DELTA = "amount_must_equal_basis_delta"
    # The event against the log that it lands on
    CORRECTED_VERSION_UNKNOWN = "corrected_version_unknown"
    CORRECTED_NOT_REVERSED = "corrected_not_reversed"
    REVERSED_VERSION_UNKNOWN = "reversed_version_unknown"
    REVERSAL_NOT_ALLOWED = "reversal_not_allowed"
    ALREADY_REVERSED = "already_reversed"
    EVIDENCE_MISMATCH = "evidence_mismatch"
    # A decision on capital
    SHORT_LOT = "short_lot"
    COPY_DIFFERS = "copy_differs"
    SEGMENTS_MISSING = "segments_missing"
    INBOX_PENDING = "inbox_pending"
    TRANSFER_SAME_BOOK = "transfer_same_book"
    TRANSFER_TERMS_DIFFER = "transfer_terms_differ"
    TRANSFER_RECORDED = "transfer_recorded"
    TRANSFER_NOT_A_PAIR = "transfer_not_a_pair"
    TRANSFER_UNPAIRED = "transfer_unpaired"
    BASIS_INCOMPLETE = "basis_incomplete"
    BASIS_IS_COMPLETE = "basis_is_complete"
    INITIAL_BASIS_KEY_FIXED = "initial_basis_key_fixed"
    DECISION_OUT_OF_ORDER = "decision_out_of_order"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    MARK_MISSING = "mark_missing"
    MARK_STALE = "mark_stale"
    EXCEEDS_EQUITY = "exceeds_equity"
    # An older database
    LEDGER_UNCLEAR = "ledger_unclear"
    # Files of venues and bots, and the inbox
    KIND_UNKNOWN = "kind_unknown"
    FILE_UNREADABLE = "file_unreadable"
    MAPPING_MALFORMED = "mapping_malformed"
    INBOX_ENTRY_UNKNOWN = "inbox_entry_unknown"
    INBOX_ENTRY_SETTLED = "inbox_entry_settled"
    INBOX_ANSWER_MISMATCH = "inbox_answer_mismatch"
    INBOX_STILL_WAITS = "inbox_still_waits"
    # Heads that are kept elsewhere
    HEADS_MALFORMED = "heads_malformed"
    HEAD_FELL_BACK = "head_fell_back"
    KEY_UNUSABLE = "key_unusable"
    STAMP_UNREADABLE = "stamp_unreadable"
    # Backups
    BACKUP_EXISTS = "backup_exists"
    BACKUP_UNSOUND = "backup_unsound"
    RESTORE_LOSES = "restore_loses"
    LEDGER_IN_USE = "ledger_in_use"
    # A strategy, a tape and a paper session
    NOT_YAML = "not_yaml"
    SETTING_RETIRED = "setting_retired"
    SIZE_EXCEEDS_LIMIT = "size_exceeds_limit"
    TAPE_MALFORMED = "tape_malformed"
    BOOK_IS_LIVE = "book_is_live"


class StorageFault(StrEnum):
    """Why the storage cannot be trusted or reached."""

    DATABASE_MISSING = "database_missing"
    DATABASE_UNREADABLE = "database_unreadable"
    DATABASE_NOT_WRITABLE = "database_not_writable"
    DATABASE_BUSY = "database_busy"
    DATABASE_FULL = "database_full"
    DATABASE_DAMAGED = "database_damaged"
    DATABASE_FAILED = "database_failed"
    DATABASE_MOVED = "database_moved"
    NOT_A_DATABASE = "not_a_database"
    NOT_A_LEDGER = "not_a_ledger"
    SCHEMA_OLDER = "schema_older"
    SCHEMA_NEWER = "schema_newer"
    SCHEMA_ALTERED = "schema_altered"
    URL_NOT_SUPPORTED = "url_not_supported"
    EXTRA_MISSING = "extra_missing"
    DATABASE_UNREACHABLE = "database_unreachable"
    DATABASE_ENCODING = "database_encoding"
    ACCESS_DENIED = "access_denied"
    EVENT_TYPE_NEWER = "event_type_newer"
    EVENT_UNREADABLE = "event_unreadable"
    PROJECTIONS_BEHIND = "projections_behind"
    SEGMENTS_UNREACHABLE = "segments_unreachable"


def shown(value: object) -> str:
    """A value for an error message, on one line: text is quoted and escaped, and anything long is cut."""
    text = value if isinstance(value, str) else str(value)
    start = text[:SHOWN_CHARACTERS]
    cut = f"… ({len(text)} characters)" if len(text) > SHOWN_CHARACTERS else ""
    return (repr(start) if isinstance(value, str) else start) + cut


class NetbasisError(Exception):
    """Base of all errors that netbasis raises on purpose.

    code:      stable, for scripts
    what:      what is wrong
    expected:  what is allowed; None when there is nothing to say
    actual:    what was found; None when there is nothing to say
    advice:    what to do; None when that is obvious
    where:     the place in the input, such as `line 17`; None when it is not known
    index:     the position of the event among those that were appended together; None when it is not known
    """

    def __init__(
        self,
        code: str,
        what: str,
        *,
        expected: object | None = None,
        actual: object | None = None,
        advice: str | None = None,
        where: str | None = None,
    ) -> None:
        super().__init__(code, what)
        self.code = code
        self.what = what
        self.expected = None if expected is None else str(expected)
        self.actual = None if actual is None else shown(actual)
        self.advice = advice
        self.where = where
        self.index: int | None = None

    def __str__(self) -> str:
        facts = [f"expected {self.expected}" if self.expected else "", f"actual {self.actual}" if self.actual else ""]
        what = f"{self.where}: {self.what}" if self.where else self.what
        parts = [what, ", ".join(fact for fact in facts if fact), self.advice or ""]
        return f"error[{self.code}]: " + "; ".join(part for part in parts if part)


class Refused(NetbasisError):
    """A rule refuses the event or the request; nothing was written.

    refusal:  the code
    field:    the name of the field that is refused; None when it is not about one field
    """

    def __init__(
        self,
        code: Refusal,
        what: str,
        *,
        expected: object | None = None,
        actual: object | None = None,
        advice: str | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(code.value, what, expected=expected, actual=actual, advice=advice)
        self.refusal = code
        self.field = field


def _or_nothing(value: object) -> str:
    return "nothing" if value is None else shown(value)


class Conflict(NetbasisError):
    """Somebody else wrote first; nothing was written."""


class VersionPassed(Conflict):
    """The book's head is not at the version that the caller expected."""

    def __init__(self, book: str, expected: int, actual: int) -> None:
        super().__init__(
            "expected_version_passed",
            f"the book {shown(book)} is no longer at the expected version",
            expected=expected,
            actual=actual,
            advice="read the book again, decide again, and append with the version you read",
        )


class KeyConflict(Conflict):
    """The idempotency key is already in the book, with different content.

    field, version:  the field that differs, and the version of the stored event
    """

    def __init__(self, key: str, version: int, field: str, stored: object, given: object) -> None:
        super().__init__(
            f"exists_with_different_{field}",
            f"the key {shown(key)} is in the book already, at version {version}, with another {field}",
            expected=_or_nothing(stored),
            actual=given,
            advice=f"give the new event a key of its own, or reverse version {version} and append the corrected event",
        )
        if given is None:
            self.actual = "nothing"
        self.field = field
        self.version = version


class MovementConflict(Conflict):
    """The transaction's movement is already in the book under other keys, and none of them has this amount.

    versions:  the versions of those movements
    """

    def __init__(self, kind: str, tx_hash: str, asset: str, there: Sequence[tuple[int, object]], given: object) -> None:
        versions = ("versions " if len(there) > 1 else "version ") + ", ".join(str(version) for version, _ in there)
        super().__init__(
            "exists_with_different_amount",
            f"the {kind} of {shown(asset)} of the transaction {shown(tx_hash)} is in the book already, at "
            f"{versions}, with another amount",
            expected=" or ".join(str(amount) for _, amount in there),
            actual=str(given),
            advice="if it is a second movement of that transaction, give it a key of its own with --key",
        )
        self.field = "amount"
        self.versions = tuple(version for version, _ in there)


class ExistsReversed(Conflict):
    """The idempotency key belongs to an event that was reversed: it is in the book, but no longer counts.

    version, reversal:  the versions of that event and of its reversal
    """

    def __init__(self, key: str, version: int, reversal: int) -> None:
        super().__init__(
            "exists_reversed",
            f"the key {shown(key)} belongs to version {version}, which version {reversal} reversed; nothing was written",
            advice=f"to record the right event in its place, append it with --corrects {version} and without --key",
        )
        self.version = version
        self.reversal = reversal


class StorageError(NetbasisError):
    """The storage cannot be trusted or reached; nothing was written, unless the outcome is unknown.

    fault:               the code
    is_transient:        a retry may succeed at once, for example after a lost connection
    outcome_is_unknown:  the connection was lost during the commit, so the transaction may have been committed; an event
                         with an idempotency key can safely be appended again
    """

    def __init__(
        self,
        code: StorageFault,
        what: str,
        *,
        expected: object | None = None,
        actual: object | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(code.value, what, expected=expected, actual=actual, advice=advice)
        self.fault = code
        self.is_transient = False
        self.outcome_is_unknown = False

    def leave_outcome_unknown(self) -> None:
        """Mark the outcome as unknown, and advise how to find out. Does nothing when it is already marked."""
        if self.outcome_is_unknown:
            return
        self.outcome_is_unknown = True
        self.advice = (
            "it is not known whether it was written: look with `netbasis register`, or append it again if it has a key"
        )
