"""What a kind of file yields when it is read: rows that become events, and rows that cannot.

A kind (`engine.importers.kinds`) reads files and yields these items. It knows nothing of the ledger: keys, order, the inbox,
what exists already and what is appended are decided in `engine.importers.importing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import IO, Literal, Protocol

from ledger.events import Adjustment, Fill, Mark

# How much of a quarantined row is shown.
SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an item stands in the files.

    file:   the file's name, as it was given; `-` for standard input
    place:  the place in it, such as `line 12` or `TradeFill row 7`
    """

    file: str
    place: str

    def __str__(self) -> str:
        return f"{self.file}, {self.place}"


@dataclass(frozen=True, slots=True)
class Movement:
    """An asset came in from outside or went out: a deposit, or a withdrawal that is not classified yet.

    direction:    in: a deposit; out: a withdrawal
    asset:        the asset
    amount:       how much of it, > 0, in the asset's own unit
    tx_hash:      the transaction on a chain; None where the file names none
    reference:    the venue's own reference, for people; None for none
    source_note:  the file's own words about it; None for none
    """

    direction: Literal["in", "out"]
    asset: str
    amount: Decimal
    tx_hash: str | None = None
    reference: str | None = None
    source_note: str | None = None


Fact = Fill | Adjustment | Mark | Movement


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that happened, as one or several facts: all of them go in, or none.

    A fact that is an event carries no `book`, `key` and `at`: they are filled in from here.

    origin:  where it stands
    at:      when it happened, UTC
    id:      the venue's own id of it, unique within its kind; None where there is none: the row is then recognised by its
             content and by how often that content has occurred
    facts:   what happened, the main thing first
    order:   the venue's order among rows of one time, such as (ledger index, transaction index); () where it says none
    """

    origin: Origin
    at: datetime
    id: str | None
    facts: tuple[Fact, ...]
    order: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row that is not understood, or does not fit: it is reported and does not go in.

    origin:  where it stands
    reason:  why, in a sentence
    text:    the row, shortened
    """

    origin: Origin
    reason: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A row that moves nothing, such as a pending one or a cancelled order: only counted.

    reason: the same words for all rows of the same sort, such as `pending`
    """

    origin: Origin
    reason: str


@dataclass(frozen=True, slots=True)
class Contract:
    """A row of a perpetual, future, option or margin position: no fill. What it cost or earned is in a Row of its own.

    symbol: the contract, as the venue names it
    """

    origin: Origin
    symbol: str


Item = Row | QuarantinedRow | PassedOver | Contract


class Source(Protocol):
    """A file to read, or standard input."""

    @property
    def name(self) -> str:
        """The name to show."""

    def head(self) -> bytes:
        """Its first 64 KiB, unpacked, or what of it has arrived; read again afterwards, by whatever comes next."""

    def text(self) -> AbstractContextManager[IO[str]]:
        """Its text: UTF-8 without a byte order mark, unpacked where it is gzip. Raises Unreadable."""

    def database(self) -> AbstractContextManager[str]:
        """The path of a private copy that SQLite may open, with what its WAL holds. Raises Unreadable."""


class Unreadable(Exception):
    """A whole file that cannot be read as its kind; the message is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a kind may ask of the command line, beside the files.

    numeraire:  the book's
    account:    the account whose side is taken, for files that hold other people's sides too; None: not given
    aliases:    an asset's name in the file → its name in the book
    zone:       the zone of times that have none; None: such a time is quarantined
    mapping:    the path of a mapping file; None: not given
    every:      keep one price of each such span; None: all
    asset:      the asset of a file that does not name it, such as a file of candles
    source:     who said so, for prices; of fills, the venue that their ids are of; None: not given
    length:     how long a candle is; None: found out from the file
    now:        the clock, UTC: what is later than it has not happened; None: not asked
    """

    numeraire: str
    account: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    zone: tzinfo | None = None
    mapping: str | None = None
    every: timedelta | None = None
    asset: str | None = None
    source: str | None = None
    length: timedelta | None = None
    now: Callable[[], datetime] | None = None

    def named(self, asset: str) -> str:
        """An asset's name in the book."""
        return self.aliases.get(asset, asset)


@dataclass(frozen=True, slots=True)
class Sample:
    """The beginning of a file, to recognise its kind by.

    name:  the file's name
    head:  its first 64 KiB, unpacked
    """

    name: str
    head: bytes


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file; a third party's is found through the entry point group `netbasis.importers`.

    name:        what `netbasis import` calls it
    help:        its line in the help
    recognises:  whether a file of this beginning is surely of this kind
    read:        all files of the kind in one import → their items, each file's in its own order; flat memory where the
                 format allows it. Raises Unreadable
    """

    name: str
    help: str
    recognises: Callable[[Sample], bool]
    read: Callable[[Sequence[Source], Settings], Iterator[Item]]
