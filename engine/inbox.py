"""The inbox of a book: movements that wait for a person, and what became of them. A table of its own, no events.

An importer puts a deposit here that has no price, a withdrawal that is not classified, and whatever else a person has to
decide; `reconcile` puts proposals here. Entries are kept when they are settled, so that an imported row that was resolved
or dismissed does not come back.

    sort       what it is
    movement   a row of a file that waits to become events
    held       rows of files that are held back behind a movement
    proposal   a difference that `reconcile` found; holds nothing back
    same       a row that was found to be a movement that the book had already; settled from the start

Everything here runs inside a transaction that the caller owns; whoever writes must hold the book's lock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    UniqueConstraint,
    delete,
    func,
    insert,
    select,
    update,
)

from ledger.amounts import amount_text
from ledger.database.columns import EXACT_TEXT, ExactDecimal, UtcTime
from ledger.database.tables import books
from ledger.errors import Refusal
from ledger.refusal_texts import refuse

Sort = Literal["movement", "held", "proposal", "same"]
Status = Literal["waiting", "answered", "resolved", "dismissed", "withdrawn"]
MOVEMENTS: tuple[Sort, ...] = ("movement",)
PROPOSALS: tuple[Sort, ...] = ("proposal",)
OPEN: tuple[Status, ...] = ("waiting", "answered")

metadata = MetaData()
inbox = Table(
    "inbox",
    metadata,
    Column("book", EXACT_TEXT, ForeignKey(books.c.book), primary_key=True),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("sort", EXACT_TEXT, nullable=False),
    Column("status", EXACT_TEXT, nullable=False),
    Column("kind", EXACT_TEXT, nullable=False),
    Column("key", EXACT_TEXT, nullable=False),
    Column("type", EXACT_TEXT, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("asset", EXACT_TEXT),
    Column("amount", ExactDecimal),
    Column("tx_hash", EXACT_TEXT),
    Column("cause", EXACT_TEXT, nullable=False),
    Column("detail", EXACT_TEXT, nullable=False),
    Column("file", EXACT_TEXT),
    Column("place", EXACT_TEXT),
    Column("facts", LargeBinary),
    Column("answer", EXACT_TEXT),
    Column("is_reached", Integer, nullable=False),
    Column("row_count", BigInteger, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("settled_at", UtcTime),
    Column("version", BigInteger),
    Column("reason", EXACT_TEXT),
    Column("actor", EXACT_TEXT),
    UniqueConstraint("book", "key", name="uq_inbox_key"),
    sqlite_with_rowid=False,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a book's inbox. Amounts are in the asset's own unit; times are UTC.

    id:          its number in the book, from 1
    sort:        see the module
    status:      waiting; answered: a person has decided, and the next import records it; resolved; dismissed; withdrawn
    kind:        the kind of file, or `reconcile`
    key:         the idempotency key of the row; of a proposal, a key of its own
    type:        deposit, withdrawal or adjustment; `rows` for held ones
    at:          when it happened; of held rows, the first one's time
    asset:       None for held rows
    amount:      > 0 for a movement; of a proposal, actual − expected; None for held rows
    tx_hash:     the transaction on a chain; None for none
    cause:       why it waits, a word for programs, such as `price_required`
    detail:      why it waits, a sentence
    file, place: where the row stands; None for a proposal
    facts:       the row's facts, as the importer stores them; None for held rows and proposals
    answer:      what a person has given for a row that the import has not come to; JSON; None for nothing
    is_reached:  the import has come to the row: what is decided is recorded at once
    row_count:   of `held`, how many rows
    created_at:  when it was put here
    settled_at:  when it was settled; None while it waits
    version:     the event that it became, or that it is the same as; None for none
    reason:      why it was dismissed; None otherwise
    actor:       who settled it; None where nobody was named
    """

    id: int
    sort: Sort
    status: Status
    kind: str
    key: str
    type: str
    at: datetime
    asset: str | None
    amount: Decimal | None
    tx_hash: str | None
    cause: str
    detail: str
    file: str | None
    place: str | None
    facts: bytes | None
    answer: str | None
    is_reached: bool
    row_count: int
    created_at: datetime
    settled_at: datetime | None = None
    version: int | None = None
    reason: str | None = None
    actor: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still waits."""
        return self.status in OPEN


_NAMES = tuple(field.name for field in fields(Entry))
_SELECT = select(*(inbox.c[name] for name in _NAMES))


def _entry(row: Row[Any]) -> Entry:
    found = dict(row._mapping)
    return Entry(**{**found, "is_reached": bool(found["is_reached"])})


def entries(
    connection: Connection,
    book: str,
    *,
    sorts: Collection[Sort] = ("movement", "held", "proposal"),
    all_of_them: bool = False,
    of: tuple[str, str] | None = None,
) -> list[Entry]:
    """A book's entries in the order of their ids: those that wait, or all of them. `of`: of a type and an asset only."""
    query = _SELECT.where(inbox.c.book == book, inbox.c.sort.in_(sorts)).order_by(inbox.c.id)
    if of is not None:
        query = query.where(inbox.c.type == of[0], inbox.c.asset == of[1])
    if not all_of_them:
        query = query.where(inbox.c.status.in_(OPEN))
    return [_entry(row) for row in connection.execute(query)]


def require_entry(connection: Connection, book: str, number: int) -> Entry:
    """An entry that waits. Raises Refused `inbox_entry_unknown`, `inbox_entry_settled`."""
    row = connection.execute(_SELECT.where(inbox.c.book == book, inbox.c.id == number)).one_or_none()
    if row is None:
        refuse(Refusal.INBOX_ENTRY_UNKNOWN, actual=number)
    found = _entry(row)
    if not found.is_open:
        what = f"{found.status}, as version {found.version}" if found.version else found.status
        refuse(Refusal.INBOX_ENTRY_SETTLED, number=number, actual=what)
    return found


def find_keys(connection: Connection, book: str, keys: Collection[str]) -> dict[str, Entry]:
    """The entries with these keys, open or settled, by key."""
    if not keys:
        return {}
    query = _SELECT.where(inbox.c.book == book, inbox.c.key.in_(list(keys)))
    return {row.key: _entry(row) for row in connection.execute(query)}


def answered_for(connection: Connection, book: str, version: int) -> list[Entry]:
    """The entries of sort `same` that were found to be the event at a version."""
    query = _SELECT.where(inbox.c.book == book, inbox.c.sort == "same", inbox.c.version == version)
    return [_entry(row) for row in connection.execute(query)]


def put(connection: Connection, book: str, entry: Entry) -> Entry:
    """Add an entry, or replace the one of its key, whose number it keeps; returns it with its number.

    `entry`: with any id.
    """
    there = find_keys(connection, book, [entry.key]).get(entry.key)
    if there is not None:
        entry = replace(entry, id=there.id, created_at=there.created_at)
        save(connection, book, entry)
        return entry
    newest = connection.scalar(select(func.max(inbox.c.id)).where(inbox.c.book == book))
    entry = replace(entry, id=(newest or 0) + 1)
    connection.execute(insert(inbox), {"book": book, **_columns(entry)})
    return entry


def save(connection: Connection, book: str, entry: Entry) -> None:
    """Replace an entry by its number."""
    place = inbox.c.book == book, inbox.c.id == entry.id
    connection.execute(update(inbox).where(*place).values(_columns(entry)))


def _columns(entry: Entry) -> dict[str, Any]:
    return {**asdict(entry), "is_reached": int(entry.is_reached)}


@dataclass(frozen=True, slots=True)
class Waiting:
    """How much waits in a book's inbox.

    movements:  movements that wait
    held:       rows that are held back behind one
    proposals:  proposals of `reconcile`
    """

    movements: int = 0
    held: int = 0
    proposals: int = 0

    @property
    def is_pending(self) -> bool:
        """Whether a movement waits or rows are held back: a withdrawal now would be classified without them."""
        return bool(self.movements or self.held)


def waiting(connection: Connection, book: str) -> Waiting:
    """How much waits in a book's inbox."""
    query = (
        select(inbox.c.sort, func.count(), func.coalesce(func.sum(inbox.c.row_count), 0))
        .where(inbox.c.book == book, inbox.c.status.in_(OPEN))
        .group_by(inbox.c.sort)
    )
    counts = {sort: (count, int(rows)) for sort, count, rows in connection.execute(query)}
    return Waiting(counts.get("movement", (0, 0))[0], counts.get("held", (0, 0))[1], counts.get("proposal", (0, 0))[0])


def require_nothing_pending(connection: Connection, book: str, *, even_so: bool = False) -> int:
    """Refuse a decision that a waiting movement would change: `inbox_pending`.

    `even_so`: the caller takes the decision all the same. Returns how many movements wait or are held back, for the
    evidence; 0 for none.
    """
    found = waiting(connection, book)
    if found.is_pending and not even_so:
        many = found.movements != 1
        waits = f"{found.movements} imported movement{'s wait' if many else ' waits'}"
        rows = "1 row is" if found.held == 1 else f"{found.held} rows are"
        held = f", and {rows} held back behind {'them' if many else 'it'}" if found.held else ""
        refuse(Refusal.INBOX_PENDING, waits=waits, held=held)
    return found.movements + found.held if found.is_pending else 0


@dataclass(frozen=True, slots=True)
class Proposal:
    """A difference between the book and the venue that a person has to name.

    asset:   the asset
    amount:  actual − expected, in its own unit, not 0
    at:      as of when, UTC
    detail:  what is known about it, a sentence
    """

    asset: str
    amount: Decimal
    at: datetime
    detail: str


_PROPOSED = "reconcile"


def propose(connection: Connection, book: str, proposals: Iterable[Proposal], now: datetime) -> list[Entry]:
    """Put proposals into the inbox, each in place of the one that waits for its asset; returns their entries."""
    standing = {entry.asset: entry for entry in entries(connection, book, sorts=PROPOSALS)}
    found = []
    for proposal in proposals:
        there = standing.get(proposal.asset)
        if there is not None:
            changed = replace(
                there, amount=proposal.amount, at=proposal.at, detail=proposal.detail, type=_type(proposal)
            )
            save(connection, book, changed)
            found.append(changed)
            continue
        key = f"{_PROPOSED}:{proposal.asset}:{amount_text(proposal.amount)}:{now.isoformat()}"
        found.append(put(connection, book, _proposed(proposal, key, now)))
    return found


def _type(proposal: Proposal) -> str:
    return "deposit" if proposal.amount > 0 else "withdrawal"


def _proposed(proposal: Proposal, key: str, now: datetime) -> Entry:
    return Entry(
        id=0,
        sort="proposal",
        status="waiting",
        kind=_PROPOSED,
        key=key,
        type=_type(proposal),
        at=proposal.at,
        asset=proposal.asset,
        amount=proposal.amount,
        tx_hash=None,
        cause="difference",
        detail=proposal.detail,
        file=None,
        place=None,
        facts=None,
        answer=None,
        is_reached=True,
        row_count=0,
        created_at=now,
    )


def withdraw_proposals(
    connection: Connection, book: str, now: datetime, *, assets: Collection[str] | None = None
) -> list[Entry]:
    """Withdraw the proposals that wait, of these assets (None: of all); returns them."""
    found = []
    for entry in entries(connection, book, sorts=PROPOSALS):
        if assets is None or entry.asset in assets:
            withdrawn = replace(entry, status="withdrawn", settled_at=now)
            save(connection, book, withdrawn)
            found.append(withdrawn)
    return found


def settled_proposals(connection: Connection, book: str, kind: str, asset: str) -> list[Entry]:
    """The proposals of an asset that were resolved as an event of a type, or as an adjustment."""
    query = _SELECT.where(
        inbox.c.book == book,
        inbox.c.sort == "proposal",
        inbox.c.status == "resolved",
        inbox.c.type.in_((kind, "adjustment")),
        inbox.c.asset == asset,
    )
    return [_entry(row) for row in connection.execute(query)]


def copy_entries(source: Connection, target: Connection, book: str) -> None:
    """Make a book's inbox in `target` what it is in `source`."""
    target.execute(delete(inbox).where(inbox.c.book == book))
    rows = [{"book": book, **_columns(_entry(row))} for row in source.execute(_SELECT.where(inbox.c.book == book))]
    if rows:
        target.execute(insert(inbox), rows)
