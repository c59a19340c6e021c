"""The reference page of each event type, made from its model and from what the engine really answers.

Fields and their meaning come from the model; the example is appended to a real book with a fixed clock and ids; each line
under "What is refused" was refused by that book. `tests/test_docs.py` fails when a page has drifted.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

from cli.shared.output import jsonable
from engine.bookkeeper import Bookkeeper
from ledger.errors import NetbasisError
from ledger.event_schema import event_schema
from ledger.events import EVENT_TYPES, Event, Evidence, Late, MarkUsed, Opened, TransferSide, event_from
from ledger.stored import StoredEvent

FOLDER = Path(__file__).parent / "events"
_START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
_REMOVED = object()
Fields = dict[str, Any]

_DEPOSIT: Fields = {"type": "deposit", "asset": "RLUSD", "amount": "85.00", "key": "capital:1"}
_XRP: Fields = {"type": "deposit", "asset": "XRP", "amount": "39.27", "price": "1.3314", "key": "capital:2"}
_EVIDENCE: Fields = {
    "equity_before": "137.676778",
    "basis_before": "137.284078",
    "profit": "0.3927",
    "principal": "19.6073",
    "marks": [{"asset": "XRP", "price": "1.3414", "source": "xrpl mid", "at": "2026-03-02T07:59:00Z"}],
    "policy": "profit_first/1",
}


@dataclass(frozen=True)
class Page:
    """What a type's page shows beyond its fields.

    `moves`: in words. `example`: as a line of NDJSON. `before`: events that the book has before it. `refused`: changes of
    the example that are refused; a field with `_REMOVED` is left out.
    """

    moves: str
    example: Fields
    before: list[Fields] = field(default_factory=list)
    refused: list[Fields] = field(default_factory=list)


PAGES: dict[str, Page] = {
    "opened": Page(
        "Nothing. It is always version 1 of its book, is appended by `netbasis init`, and cannot be reversed.",
        {"type": "opened", "mode": "live", "numeraire": "RLUSD", "base_asset": "XRP"},
        refused=[{"mode": "demo"}, {"numeraire": "US DOLLAR"}],
    ),
    "fill": Page(
        "Buying: base +, quote −. Selling: base −, quote +. The fee, where it is known, − in its own asset (a rebate +). "
        "Neither basis, nor net deposits, nor the starting value.",
        {
            "type": "fill",
            "at": "2026-03-02T07:58:12.250Z",
            "key": "xrpl:4711",
            "side": "buy",
            "base_asset": "XRP",
            "base_amount": "11.29518",
            "quote_asset": "RLUSD",
            "quote_amount": "14.99999904",
            "fee_asset": "XRP",
            "fee_amount": "0.000012",
            "session_id": "s1",
            "liquidity": "maker",
            "strategy": "xrp-rlusd-maker",
            "tags": ["stage-1"],
        },
        refused=[
            {"base_amount": 11.29518},
            {"base_amount": "0"},
            {"quote_amount": "14.9999999999999999999999999999999999999"},
            {"quote_asset": "XRP"},
            {"fee_asset": _REMOVED},
            {"at": "2026-03-02T07:58:12.250"},
            {"price": "1.328"},
            {"side": "bought"},
        ],
    ),
    "deposit": Page(
        "The asset +, in the capital part of its balance. Net deposits and the starting value + the deposit's value, so "
        "that total PnL stays. Net basis + `basis_delta`, which is the value unless it is given.",
        _XRP,
        refused=[
            {"price": _REMOVED},
            {"price": "0"},
            {"asset": "RLUSD"},
            {"amount": "-1"},
            {"amount": "99999999999999999999", "price": "99999999999999999999"},
            {"basis_delta": "52", "basis_unknown": True},
            {"transfer": {"id": "T", "book": "bot"}},
        ],
    ),
    "withdrawal": Page(
        "The asset −, in the capital part of its balance. Net deposits and the starting value − the withdrawal's value, so "
        "that total PnL stays. Net basis by `basis_delta`, which is minus the principal; the rest of the value is profit.",
        {
            "type": "withdrawal",
            "asset": "RLUSD",
            "amount": "20",
            "basis_delta": "-19.6073",
            "evidence": _EVIDENCE,
            "key": "7B1F:withdrawal:RLUSD",
            "tx_hash": "7B1F",
        },
        before=[_DEPOSIT, _XRP],
        refused=[
            {"basis_delta": _REMOVED},
            {"basis_delta": "1"},
            {"price": "1"},
            {"evidence": {**_EVIDENCE, "profit": "0.3926"}},
            {"evidence": {**_EVIDENCE, "marks": []}},
            {"evidence": {**_EVIDENCE, "policy": "profit_last/1"}},
        ],
    ),
    "basis_commit": Page(
        "Net basis by `basis_delta`, and nothing else. With the key `synthetic_initial_basis` it is the one commit that "
        "makes up for deposits whose basis is unknown (`netbasis backfill-basis`).",
        {
            "type": "basis_commit",
            "basis_delta": "137.284078",
            "key": "synthetic_initial_basis",
            "source_note": "synthetic_initial_basis",
            "actor": "owner",
        },
        refused=[{"basis_delta": _REMOVED}, {"asset": "XRP"}, {"amount": "137"}, {"price": "1"}],
    ),
    "mark": Page(
        "Nothing. The newest mark of an asset that stands, by `at` and then by version, is what PnL values it with. A "
        "mark that was wrong is reversed; the one before it counts again.",
        {
            "type": "mark",
            "at": "2026-03-02T07:59:00Z",
            "asset": "XRP",
            "price": "1.3414",
            "price_source": "xrpl mid",
            "key": "mark:1",
        },
        refused=[{"asset": "RLUSD"}, {"price": "-1"}],
    ),
    "adjustment": Page(
        "The asset ±, in the adjustments part of its balance. Neither basis, nor net deposits, nor the starting value: it "
        "is gain or loss.",
        {
            "type": "adjustment",
            "asset": "XRP",
            "amount": "-0.000012",
            "reason": "network_fee",
            "key": "9A:adjustment:XRP",
        },
        refused=[{"amount": "0"}, {"reason": _REMOVED}, {"reason": ""}, {"group": ""}],
    ),
    "baseline": Page(
        "The starting value is set to `starting_value`; the stored delta is what that changed. Balances and basis stay.",
        {"type": "baseline", "starting_value": "140.00", "reason": "as the old engine had it", "key": "baseline:1"},
        before=[_DEPOSIT, _XRP],
        refused=[{"starting_value": _REMOVED}, {"starting_value": "1e21"}],
    ),
    "reversal": Page(
        "The reversed event's effects, negated, in the same part of the balance. Each event can be reversed once; "
        "`opened` and `reversal` cannot be. Left out, `at` is the reversed event's, so that no "
        "earlier view keeps the mistake.",
        {"type": "reversal", "reverses": 2, "reason": "sent twice", "key": "reversal of 2"},
        before=[_DEPOSIT, {"type": "mark", "asset": "XRP", "price": "1.33", "key": "mark:1"}],
        refused=[{"reverses": 9}, {"reverses": 1}, {"reverses": "2"}],
    ),
}


def pages() -> Iterator[tuple[Path, str]]:
    """Each page's path and text."""
    yield FOLDER / "README.md", _index()
    yield FOLDER / "event.schema.json", json.dumps(event_schema(), indent=1, ensure_ascii=False) + "\n"
    for kind, model in EVENT_TYPES.items():
        yield FOLDER / f"{kind}.md", "\n".join(_page(kind, model, PAGES[kind]))


def _index() -> str:
    lines = [
        "# Event types",
        "",
        "Made by `make docs`; do not edit. An event is one JSON object; every number in it is a text in quotes.",
        "",
        *(f"- [`{kind}`]({kind}.md): {model.__doc__}" for kind, model in EVENT_TYPES.items()),
        "",
        "For programs: [event.schema.json](event.schema.json), a JSON Schema of the events that `append --file` takes "
        "(`netbasis schema`).",
    ]
    return "\n".join(lines) + "\n"


def _page(kind: str, model: type[Event], page: Page) -> Iterator[str]:
    yield from (f"# `{kind}`", "", "Made by `make docs`; do not edit.", "", str(model.__doc__), "")
    yield from ("## What it moves", "", page.moves, "")
    yield from ("## Fields", "", *_field_rows(model), "")
    if "transfer" in model.model_fields:
        yield from ("### `transfer`", "", *_field_rows(TransferSide), "")
    if kind == "withdrawal":
        yield from (
            "### `evidence`",
            "",
            *_field_rows(Evidence),
            "",
            "Each of `marks`:",
            "",
            *_field_rows(MarkUsed),
            "",
            "`late`:",
            "",
            *_field_rows(Late),
            "",
        )
    with tempfile.TemporaryDirectory() as folder:
        yield from _example(kind, page, Path(folder) / "example.db")
        yield from _refusals(kind, page, Path(folder) / "refused.db")


def _field_rows(model: Any) -> Iterator[str]:
    yield "| field | needed | what it is |"
    yield "|---|---|---|"
    for name, info in model.model_fields.items():
        needed = "yes" if info.is_required() or name == "type" else "no"
        what = f"`{info.default}`" if name == "type" else info.description.replace("|", "\\|")
        choices = [f"`{choice}`" for choice in _choices(info.annotation)]
        yield f"| `{name}` | {needed} | {what}{' (' + ' or '.join(choices) + ')' if choices and name != 'type' else ''} |"


def _choices(annotation: Any) -> list[str]:
    members = get_args(annotation)
    return [member for member in members if isinstance(member, str)] or [
        choice for member in members for choice in get_args(member) if isinstance(choice, str)
    ]


def _example(kind: str, page: Page, path: Path) -> Iterator[str]:
    yield from ("## Example", "", "A line of NDJSON in:", "", "```json", _json(page.example), "```", "")
    stored = _append(path, kind, page, page.example)
    yield from ("The body that is stored and hashed:", "", "```json", stored.body.decode(), "```", "")
    effects = jsonable(stored.effects)
    effects = {name: value for name, value in effects.items() if value not in (None, "0", 0)}
    yield from ("Its effects (those that are not 0):", "", "```json", json.dumps(effects, indent=1), "```", "")


def _refusals(kind: str, page: Page, path: Path) -> Iterator[str]:
    yield from ("## What is refused", "", "| the example with | answer |", "|---|---|")
    for changes in page.refused:
        fields = {**page.example, **changes}
        fields = {name: value for name, value in fields.items() if value is not _REMOVED}
        try:
            _append(path, kind, page, fields)
        except NetbasisError as error:
            answer = str(error).replace("|", "\\|")
            yield f"| {', '.join(_change(name, value) for name, value in changes.items())} | {answer} |"
        else:
            raise AssertionError(f"{kind} with {changes} was not refused")
    yield ""


def _change(name: str, value: Any) -> str:
    return f"no `{name}`" if value is _REMOVED else f"`{name}`: `{_json(value)}`".replace("|", "\\|")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _append(path: Path, kind: str, page: Page, fields: Mapping[str, Any]) -> StoredEvent:
    """The stored form of an event appended to a real book; `opened` opens one."""
    ticks, numbers = itertools.count(), itertools.count(1)

    def clock() -> datetime:
        return _START + timedelta(seconds=next(ticks))

    path.write_bytes(_migrated())
    with Bookkeeper.open(str(path), "write", clock=clock, new_id=lambda: str(UUID(int=next(numbers)))) as keeper:
        if kind == "opened" and fields.get("key") is None:
            opened = event_from(fields)
            assert isinstance(opened, Opened)
            return keeper.open_book("main", opened).stored
        keeper.open_book("main", Opened(mode="live"))
        for before in page.before:
            keeper.append("main", event_from(before))
        return keeper.append("main", event_from(_as_read(fields))).stored


@cache
def _migrated() -> bytes:
    """A new ledger without a book: made once, then copied, since there are dozens of refusals."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "migrated.db"
        Bookkeeper.open(str(path), "create").close()
        return path.read_bytes()


def _as_read(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields as a line of NDJSON would give them, bare numbers and all."""
    from ledger.parsing import parse_json

    read = parse_json(json.dumps(fields))
    assert isinstance(read, dict)
    return read


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for path, text in pages():
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
