"""An old database is invented together with the truth that it was made from; what comes over is held against the truth."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path

from hypothesis import event as seen
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.importers.legacy.causes import Kind
from engine.importers.legacy.chain import Holds
from engine.importers.legacy.importing import ImportReport, ImportRequest, import_legacy
from engine.importers.legacy.reconciliation import TOLERANCE
from engine.proof.check import check
from ledger.errors import Refusal, Refused
from projections.state import BookState
from tests.engine.importers.legacy.legacy_databases import TIMES, OldEngine, Shape, Truth
from tests.support import BOOK, open_keeper

Step = tuple[str, dict[str, str | None]]
FEWER = settings(max_examples=settings().max_examples * 2 // 5)  # each one writes two databases to the disk


def decimals(low: int, high: int, places: int) -> st.SearchStrategy[str]:
    """Decimals as text, `low` and `high` in units of the last place."""
    return st.integers(low, high).map(lambda number: str(Decimal(number).scaleb(-places)))


prices = decimals(5_000, 30_000, 4)
amounts = decimals(1, 2_000_000_000, 6)
# An order of 15 RLUSD: 15 / price as a float has it, such as 11.266336187471834.
divided = prices.map(lambda price: (repr(float(Decimal(15) / Decimal(price))), price))
sized = st.tuples(decimals(1, 50_000_000, 6), prices)


@st.composite
def capital_steps(draw: st.DrawFn, kinds: tuple[str, ...] = ("deposit", "withdrawal", "basis_commit")) -> Step:
    kind = draw(st.sampled_from(kinds))
    asset = "RLUSD" if kind == "basis_commit" else draw(st.sampled_from(["RLUSD", "XRP", "FOO"]))
    amount = draw(amounts)
    price = draw(prices) if asset != "RLUSD" else draw(st.sampled_from(["1", None]))
    if kind == "deposit":
        basis = draw(st.none() | decimals(-(10**9), 10**9, 6))
    elif kind == "withdrawal":
        basis = draw(st.none() | decimals(-(10**9), 0, 6))
    else:
        basis = draw(st.sampled_from([amount, f"-{amount}"]))
    return "capital", {"kind": kind, "asset": asset, "amount": amount, "price": price, "basis": basis}


@st.composite
def fill_steps(draw: st.DrawFn) -> Step:
    quantity, price = draw(divided | sized)
    fee = draw(st.none() | decimals(0, 50_000, 6))
    fields = {"side": draw(st.sampled_from(["buy", "sell"])), "quantity": quantity, "price": price, "fee": fee}
    session = draw(st.sampled_from(["s1", "s2"]))
    return "fill", {**fields, "fee_asset": draw(st.sampled_from(["RLUSD", "XRP"])), "session": session}


shapes = st.builds(
    Shape,
    times=st.sampled_from(sorted(TIMES)),
    time_column=st.sampled_from(["ts", "timestamp", "created_at", "at", "time"]),
    quantity_column=st.sampled_from(["quantity", "qty", "size", "amount"]),
    text_ids=st.booleans(),
    basis_column=st.booleans(),
    change_column=st.booleans(),
    fill_id_column=st.booleans(),
    fee_columns=st.just(True),
    quote_column=st.booleans(),
    fills_only=st.booleans(),
)
steps = st.lists(capital_steps() | fill_steps(), max_size=12)
openings = st.fixed_dictionaries({}, optional={"RLUSD": amounts, "XRP": amounts})


def play(engine: OldEngine, script: list[Step]) -> None:
    """Let the old engine do what a script says, and write its starting value down."""
    for name, fields in script:
        if name == "capital":
            if fields["kind"] == "basis_commit" and not engine.shape.basis_column:
                continue
            engine.capital(**fields)  # type: ignore[arg-type]  # the names are those of the script
        else:
            engine.fill(**fields)  # type: ignore[arg-type]
    engine.keep_starting_value()
    engine.connection.commit()


def assert_true(state: BookState, truth: Truth, traded: set[str]) -> None:
    """The book is what the old engine's truth was; where nothing was traded, an opening cannot be known."""
    for asset, balance in truth.balances.items():
        if asset in traded or asset not in truth.openings:
            assert abs(state.inventory.balance(asset) - balance) <= TOLERANCE, asset
    for asset, opening in truth.openings.items():
        if asset in traded:
            assert state.inventory[asset].adjustments == opening, asset
    assert state.basis.net_basis == truth.net_basis
    assert state.basis.unknown_bases == truth.unknown_bases
    assert state.basis.net_deposits == truth.net_deposits
    assert state.engine_state.starting_value == truth.starting_value


def kind_of(shape: Shape) -> Holds:
    """What the ledger of an age holds."""
    return Holds.FILLS_ONLY if shape.fills_only else Holds.TOTAL


def require_explained(imported: ImportReport) -> None:
    """The causes of every difference add up to it, and none of them is that nobody knows."""
    for line in imported.reconciliation.lines:
        assert sum(cause.amount for cause in line.causes) == (line.difference or 0), line
        assert Kind.NOT_EXPLAINED not in {cause.kind for cause in line.causes}, line


@FEWER
@given(shape=shapes, opened=openings, before=steps, after=steps)
def test_what_comes_over_is_the_truth_and_comes_over_once(
    shape: Shape, opened: dict[str, str], before: list[Step], after: list[Step]
) -> None:
    """Also when the old engine writes more between two imports."""
    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder) / "old.db"
        request = ImportRequest(str(old), {}, holds=kind_of(shape))
        with OldEngine(old, shape, openings=opened) as engine, open_keeper(Path(folder)) as keeper:
            for script in (before, after):
                play(engine, script)
                imported = import_legacy(keeper, BOOK, request)
                assert imported.reconciliation.holds
                require_explained(imported)
                assert_true(keeper.view(BOOK).state, engine.truth, engine.has_traded)
                written = engine.truth.events + len(set(engine.truth.openings) & engine.has_traded)
                assert imported.head.version == written + 2  # the book's opening and the baseline
                again = import_legacy(keeper, BOOK, request)
                assert (set(again.existed), again.head) == ({True} if engine.truth.events else set(), imported.head)
            seen(f"{len(engine.has_traded)} assets traded")
            assert check(keeper.database, BOOK).ok


@given(shape=shapes, opened=openings, script=steps)
def test_what_the_ledger_holds_is_read_rightly_or_asked_for(
    shape: Shape, opened: dict[str, str], script: list[Step]
) -> None:
    """Read the wrong way, the old total would be another than the truth."""
    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder) / "old.db"
        with OldEngine(old, shape, openings=opened) as engine, open_keeper(Path(folder)) as keeper:
            play(engine, script)
            try:
                imported = import_legacy(keeper, BOOK, ImportRequest(str(old), {}), dry_run=True)
            except Refused as refused:
                assert refused.refusal is Refusal.LEDGER_UNCLEAR  # noqa: PT017  to ask is as good
                seen("asked for")
                return
            seen(f"{imported.holds} is read as {kind_of(shape)}")
            for line in imported.reconciliation.lines:
                if line.asset is not None and line.asset in engine.has_traded:
                    assert line.old is not None
                    assert abs(line.old - engine.truth.balances[line.asset]) <= TOLERANCE, line
            assert imported.reconciliation.holds


@st.composite
def slips(draw: st.DrawFn) -> Step:
    """What goes wrong with an old database: rows that are missing, that are too many, or of another time."""
    name = draw(st.sampled_from(["no_row", "network_fee", "off_time", "not_booked"]))
    if name == "no_row":
        _, fields = draw(fill_steps())
    elif name == "network_fee":
        fields = {"asset": draw(st.sampled_from(["RLUSD", "XRP"])), "amount": draw(amounts)}
    else:
        _, fields = draw(capital_steps(("deposit", "withdrawal")))
    return name, fields


def slip(engine: OldEngine, name: str, fields: dict[str, str | None]) -> None:
    """Let something go wrong."""
    match name:
        case "no_row":
            engine.fill(**fields, ledger=False)  # type: ignore[arg-type]
        case "network_fee":
            engine.network_fee(**fields)  # type: ignore[arg-type]
        case "off_time":
            engine.capital(**fields, minutes_off=-3)  # type: ignore[arg-type]
        case "not_booked":
            engine.capital(**fields, is_booked=False)  # type: ignore[arg-type]
        case _:
            play(engine, [(name, fields)])


@FEWER
@given(
    shape=shapes, opened=openings, script=st.lists(capital_steps() | fill_steps() | slips(), min_size=1, max_size=12)
)
def test_every_difference_is_taken_apart_to_the_last_digit(
    shape: Shape, opened: dict[str, str], script: list[Step]
) -> None:
    """Whatever went wrong: the causes add up to the difference, and none is left over. The log is sound all the same."""
    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder) / "old.db"
        with OldEngine(old, shape, openings=opened) as engine, open_keeper(Path(folder)) as keeper:
            for name, fields in script:
                slip(engine, name, fields)
            engine.keep_starting_value()
            engine.connection.commit()
            request = ImportRequest(str(old), {}, holds=kind_of(shape))
            imported = import_legacy(keeper, BOOK, request)
            require_explained(imported)
            seen("reconciled" if imported.reconciliation.holds else "not reconciled")
            again = import_legacy(keeper, BOOK, request)
            assert again.head == imported.head
            assert again.reconciliation == imported.reconciliation
            assert check(keeper.database, BOOK).ok
