"""The pages about the log: the register, the history of the basis, and an event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cli.page.asking import NotFound, PageRequest
from cli.page.rendering import Links, grid
from cli.page.site import Site, SiteCache
from engine.reports.capital import BasisPageChoice, basis_page
from engine.reports.event import event_report
from engine.reports.paging import PageChoice, register_page
from engine.reports.report import Table
from engine.views import RegisterFilter
from ledger.errors import Refusal, Refused
from ledger.events import EVENT_TYPES
from projections.audit import AuditRow

EVENTS_ON_A_PAGE = 100
TYPES = {"": "balances moved", "any": "every event", **{name: name.replace("_", " ") for name in EVENT_TYPES}}
BASIS_TYPES = {
    "": "all",
    **{name: name.replace("_", " ") for name in ("deposit", "withdrawal", "basis_commit", "reversal")},
}
_COLUMNS = (
    "version",
    "at",
    "type",
    "asset",
    "delta",
    "balance",
    "part",
    "price",
    "basis_delta",
    "session_id",
    "strategy",
    "reason",
    "key",
    "reverses",
    "reversed_by",
)
_ALWAYS = ("version", "at", "type", "asset", "delta", "balance", "key")
_BASIS_COLUMNS = (
    "version",
    "at",
    "type",
    "asset",
    "amount",
    "price",
    "equity_before",
    "basis_before",
    "profit",
    "principal",
    "basis_delta",
    "basis_after",
    "actor",
    "source_note",
    "tx_hash",
    "reverses",
    "reversed_by",
)


def links_of(asked: PageRequest) -> Links:
    """Where versions, sessions and assets lead."""

    def event(version: object) -> str:
        return asked.link("/event", version=version)

    versions = ("version", "reverses", "reversed_by", "opened_version", "closed_version")
    return {
        **dict.fromkeys(versions, event),
        "session_id": lambda session: asked.link("/register", session=session),
        "asset": lambda asset: asked.link("/register", asset=asset),
    }


def register(site: Site, kept: SiteCache, asked: PageRequest, name: str) -> dict[str, Any]:
    """A page of the register."""
    wanted_type = asked.choice("type", TYPES, "")
    given = asked.given
    chosen = RegisterFilter(
        asset=given.get("asset"),
        type=wanted_type if wanted_type not in ("", "any") else None,
        session=given.get("session"),
        start=asked.start(),
        end=asked.end(),
        strategy=given.get("strategy"),
    )
    wanted = PageChoice(
        moment=asked.moment(),
        chosen=chosen,
        every=wanted_type == "any",
        text=given.get("q"),
        before=asked.version("before"),
        after=asked.version("after"),
        events=EVENTS_ON_A_PAGE,
    )
    with kept.history(name) if asked.is_live else _nothing() as history:
        anchors = tuple(history.anchors) if history is not None else ()
    page = register_page(site.database, name, wanted, anchors)
    rows = page.rows
    used = [name for name in _COLUMNS if name in _ALWAYS or any(getattr(row, name) is not None for row in rows)]
    table = Table(used, [[getattr(row, column) for column in used] for row in rows])
    return {
        "page": page,
        "rows": grid(table, "Register", links_of(asked)),
        "types": TYPES,
        "type": wanted_type,
        "is_filtered": any(field in given for field in ("q", "asset", "session", "strategy", "from", "to", "type")),
    }


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def basis(site: Site, kept: SiteCache, asked: PageRequest, name: str) -> dict[str, Any]:
    """A page of the history of the basis."""
    wanted_type = asked.choice("type", BASIS_TYPES, "")
    wanted = BasisPageChoice(
        moment=asked.moment(),
        type=wanted_type or None,
        text=asked.given.get("q"),
        before=asked.version("before"),
        after=asked.version("after"),
        events=EVENTS_ON_A_PAGE,
    )
    page = basis_page(site.database, name, wanted)
    rows = grid(basis_table(page.rows), "Basis", links_of(asked))
    return {"page": page, "rows": rows, "types": BASIS_TYPES, "type": wanted_type}


def basis_table(rows: Sequence[AuditRow]) -> Table:
    """The history of the basis, without the columns that none of the rows has."""
    always = ("version", "at", "type", "basis_delta", "basis_after")
    used = [name for name in _BASIS_COLUMNS if name in always or any(getattr(row, name) is not None for row in rows)]
    return Table(used, [[_basis_cell(row, column) for column in used] for row in rows])


def _basis_cell(row: AuditRow, column: str) -> Any:
    value = getattr(row, column)
    return "unknown" if column == "basis_delta" and value is None else value


def event(site: Site, asked: PageRequest, name: str) -> dict[str, Any]:
    """An event, by its version or its key. Raises NotFound."""
    version, key = asked.version("version"), asked.given.get("key")
    wanted = version if version is not None else key
    if wanted is None:
        raise NotFound("give the version of an event, or its key")
    try:
        report = event_report(site.database, name, wanted)
    except Refused as refused:
        if refused.refusal in (Refusal.VERSION_UNKNOWN, Refusal.KEY_UNKNOWN):
            raise NotFound(str(refused.what)) from refused
        raise
    document: Any = report.document
    _, head = site.terms(name)
    moved = Table(("asset", "delta"), [(each["asset"], each["delta"]) for each in document["postings"]])
    return {
        "event": document,
        "fields": {field: text for field, text in document["event"].items() if field != "type"},
        "moved": grid(moved, "Moves", links_of(asked)),
        "head": head,
    }
