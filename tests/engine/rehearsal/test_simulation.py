"""Futures in memory: they are what the log would record, no corner is rare, and a broken one is found and made short."""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import chain
from pathlib import Path
from uuid import UUID

import hypothesis.configuration
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.bookkeeper import Bookkeeper
from engine.policy.classification import POLICIES, Policy, classify_principal_first
from engine.proof.invariants import INVARIANTS, Invariant, Step
from engine.rehearsal import playing
from engine.rehearsal.drawing import futures
from engine.rehearsal.playing import Failure, Verdict, given_fields, property_test
from engine.rehearsal.simulation import RECENT_EVENTS, TICK, Present, Simulation, present_of
from engine.rehearsal.statistics import Statistics
from engine.rehearsal.wishes import Turn
from ledger.errors import NetbasisError, Refused
from ledger.events import Event, Reversal, Withdrawal
from ledger.integrity.findings import Finding
from ledger.parsing import parse_line
from ledger.stored import StoredEvent
from tests.ledger.database.store_support import content, fingerprints, sample_file, tamper
from tests.support import BOOK, TickingClock, event, log_of, open_keeper

SEED = 7


def observing(name: str, breaks: Callable[[Step], bool]) -> dict[str, type[Invariant]]:
    """The invariants and one more, which does not hold after the steps that `breaks` names."""

    class Planted:
        def __init__(self) -> None:
            self.name = name

        def observe(self, step: Step) -> Iterator[Finding]:
            if breaks(step):
                yield Finding(name, step.stored.version, "planted")

    return {**INVARIANTS, name: Planted}


def failure_of(
    keeper: Bookkeeper,
    *,
    invariants: Mapping[str, type[Invariant]] = INVARIANTS,
    policies: Mapping[str, Policy] = POLICIES,
    seed: int = SEED,
) -> Failure:
    """What a property test finds that must find something; how long it takes to make it short depends on the seed."""
    failure = property_test(keeper.database, BOOK, seed=seed, invariants=invariants, policies=policies).failure
    assert failure is not None
    return failure


def mixes(step: Step) -> bool:
    """Whether it is a withdrawal of profit and of principal."""
    evidence = step.event.evidence if isinstance(step.event, Withdrawal) else None
    return evidence is not None and evidence.profit > 0 and evidence.principal > 0


def ndjson(failure: Failure) -> list[bytes]:
    """The sequence, a line an event."""
    return [json.dumps(given_fields(found)).encode() for found in failure.events]


@pytest.fixture(autouse=True)
def _few_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found must become short in 60 attempts, not in 300."""
    monkeypatch.setattr(playing, "ATTEMPTS_TO_SIMPLIFY", 60)


@cache
def sample_present() -> Present:
    """The present of the sample log."""
    with tempfile.TemporaryDirectory() as folder, Bookkeeper.open(str(sample_file(Path(folder))), "read") as keeper:
        return present(keeper)


def present(keeper: Bookkeeper, book: str = BOOK) -> Present:
    with keeper.database.reading() as connection:
        return present_of(connection, book)


# What a simulation is


@settings(max_examples=6)
@given(st.data())
def test_a_simulation_records_byte_by_byte_what_the_log_records_and_refuses_what_it_refuses(
    data: st.DataObject,
) -> None:
    start = sample_present()
    simulation = Simulation(start)
    with tempfile.TemporaryDirectory() as folder:
        path = sample_file(Path(folder))
        clock = TickingClock(start.head.recorded_at + TICK, step=0 * TICK)

        def new_id() -> str:
            return str(UUID(int=simulation.head.version))

        with Bookkeeper.open(str(path), clock=clock, new_id=new_id) as keeper:
            for plan in chain.from_iterable(data.draw(futures(start))):
                clock.now = simulation.now()
                _compare_one(plan, simulation, keeper)
            view = keeper.view(BOOK)
    assert view.head == simulation.head
    assert view.state == simulation.state


def _compare_one(plan: Turn, simulation: Simulation, keeper: Bookkeeper) -> None:
    try:
        wished = plan if plan is None or isinstance(plan, Event) else plan.event(simulation, POLICIES)
    except Refused:
        return
    if wished is None:
        return
    keyed = wished if wished.key else wished.model_copy(update={"key": simulation.next_key()})
    outcomes: list[StoredEvent | str] = []
    records: list[Callable[[], StoredEvent]] = [
        lambda: simulation.record(wished).stored,
        lambda: keeper.append(BOOK, keyed).stored,
    ]
    for record in records:
        try:
            outcomes.append(record())
        except NetbasisError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


def test_a_refused_event_leaves_a_simulation_as_it_was() -> None:
    simulation = Simulation(sample_present())
    before = (simulation.head, simulation.state, dict(simulation.events), list(simulation.recorded))
    for refused in (
        event("deposit", asset="XRP", amount="1"),
        event("reversal", reverses=simulation.head.version + 1),
        event("reversal", reverses=1),
        event("reversal", reverses=5),
    ):
        with pytest.raises(Refused):
            simulation.record(refused)
    assert before == (simulation.head, simulation.state, simulation.events, simulation.recorded)


def test_simulations_from_one_present_do_not_see_each_other() -> None:
    """Neither in what they record nor in the sums that their watchers keep."""
    start = sample_present()
    for _ in range(2):
        simulation = Simulation(start)
        step = simulation.record(event("deposit", asset="RLUSD", amount="1"))
        assert simulation.observe(step) == []
        reversal = simulation.record(Reversal(reverses=step.stored.version))
        assert simulation.observe(reversal) == []
    assert Simulation(start).head == start.head


def test_the_watchers_have_seen_the_log_and_judge_a_wrong_fold_of_the_future() -> None:
    """A state that is off by 1 from the log that the watchers saw shows at the first step."""
    simulation = Simulation(sample_present())
    step = simulation.record(event("deposit", asset="RLUSD", amount="1"))
    off = Step(step.book, step.stored, step.event, step.before, sample_present().state)
    assert {finding.invariant for finding in simulation.observe(off)} >= {"conservation", "basis_sum"}


def test_the_recent_events_of_a_long_log_are_the_newest(tmp_path: Path) -> None:
    with open_keeper(tmp_path) as keeper:
        keeper.append_all(BOOK, [event("deposit", asset="RLUSD", amount="1", key=str(n)) for n in range(60)])
        start = present(keeper)
    assert list(start.recent) == list(range(61 - RECENT_EVENTS + 1, 62))


def test_a_present_knows_which_of_its_events_are_reversed() -> None:
    simulation = Simulation(sample_present())
    assert not {2, 5, 14} & {stored.version for stored in simulation.standing()}
    assert [stored.version for stored in simulation.standing()][:3] == [17, 13, 11]


# What is invented


# Of 100 futures, at least as many. What is below would hardly be tested.
FLOORS = {
    "futures": 100,
    "events.fill": 100,
    "events.deposit": 100,
    "events.withdrawal": 100,
    "events.basis_commit": 20,
    "events.mark": 40,
    "events.adjustment": 20,
    "events.baseline": 20,
    "events.reversal": 40,
    "withdrawals.pure_profit": 25,
    "withdrawals.mixed": 15,
    "withdrawals.in_drawdown": 15,
    "reversals.of_the_log": 20,
    "reversals.of_the_invented": 20,
    "rebates": 25,
    "unknown_fees": 25,
    "dust": 40,
    "long_amounts": 40,
    "negative_balances": 100,
    "refused.evidence_mismatch": 5,
    "refused.exceeds_equity": 25,
    "refused.mark_missing": 10,
    "refused.mark_stale": 1,
    "refused.basis_incomplete": 5,
    "refused.insufficient_balance": 1,
    "refused.already_reversed": 1,
    "refused.reversal_not_allowed": 1,
    "refused.price_required": 1,
}


def flat(statistics: Statistics) -> dict[str, int]:
    """All figures by name."""
    groups = {name: figure for name, figure in vars(statistics).items() if not isinstance(figure, int)}
    single = {name: figure for name, figure in vars(statistics).items() if isinstance(figure, int)}
    return single | {f"{group}.{name}": n for group, figures in groups.items() for name, n in figures.items()}


def test_no_corner_of_the_futures_is_rare(tmp_path: Path) -> None:
    with Bookkeeper.open(str(sample_file(tmp_path)), "read") as keeper:
        # A chosen seed: with so few futures, some corner is rarer at most others.
        tested = property_test(keeper.database, BOOK, seed=14, examples=100)
    assert tested.failure is None
    figures = flat(tested.statistics)
    print(json.dumps(figures, indent=1))  # noqa: T201 - shown with `pytest -rP`
    assert {name: figures.get(name, 0) for name, floor in FLOORS.items() if figures.get(name, 0) < floor} == {}


def test_the_same_seed_gives_the_same_futures_and_another_one_others(keeper: Bookkeeper) -> None:
    def tested(seed: int) -> Verdict:
        return property_test(keeper.database, BOOK, seed=seed, examples=5)

    first = tested(1)
    assert tested(1) == first
    assert tested(2).statistics != first.statistics


def test_the_futures_do_not_depend_on_what_else_the_process_has_loaded(
    keeper: Bookkeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hypothesis draws numbers that it finds in the modules of a project; here it finds a thousand new ones."""
    before = property_test(keeper.database, BOOK, seed=SEED, examples=8)
    (tmp_path / "a_thousand_numbers.py").write_text(f"NUMBERS = {list(range(101, 1101))}")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("a_thousand_numbers")
    assert property_test(keeper.database, BOOK, seed=SEED, examples=8) == before


def test_a_new_book_has_futures_too(keeper: Bookkeeper) -> None:
    """From nothing, equity is often just the basis."""
    tested = property_test(keeper.database, BOOK, seed=SEED, examples=30)
    assert tested.failure is None
    assert tested.statistics.reversals["of_the_log"] == 0
    assert min(tested.statistics.withdrawals.values()) > 0  # of each kind


def test_a_book_of_another_numeraire_and_policy_has_futures_too(tmp_path: Path) -> None:
    terms = {"numeraire": "USD", "base_asset": "BTC", "withdrawal_policy": "principal_first/1"}
    with open_keeper(tmp_path, **terms) as keeper:
        tested = property_test(keeper.database, BOOK, seed=5, examples=15)
    assert tested.failure is None
    assert tested.statistics.withdrawals["all_principal"] > 0


def test_nothing_is_written_to_the_database_or_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sample_file(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with Bookkeeper.open(str(path), "read") as keeper:
        home = hypothesis.configuration.storage_directory(intent_to_write=False).home_directory
        before = content(keeper.database)
        printed = fingerprints(tmp_path / "elsewhere")
        property_test(keeper.database, BOOK, seed=SEED, examples=5)
        assert content(keeper.database) == before
        assert hypothesis.configuration.storage_directory(intent_to_write=False).home_directory == home
    assert printed == fingerprints(tmp_path / "elsewhere") == {}


def test_progress_counts_the_events_of_the_futures(keeper: Bookkeeper) -> None:
    seen: list[int] = []
    tested = property_test(keeper.database, BOOK, seed=SEED, examples=5, on_progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == tested.statistics.events.total() > 0


# What a wrong program looks like


def test_a_broken_invariant_is_found_and_shown_with_one_event(keeper: Bookkeeper) -> None:
    planted = observing("never_negative", lambda step: any(held.total < 0 for held in step.after.inventory.values()))
    failure = failure_of(keeper, invariants=planted, seed=2)
    assert [(found.invariant, found.version) for found in failure.findings] == [("never_negative", 2)]
    assert len(failure.events) == 1


@cache
def reversed_once() -> Verdict:
    """The outcome for a new book in which no event may be reversed."""
    planted = observing("never_back", lambda step: step.sign < 0)
    with tempfile.TemporaryDirectory() as folder, open_keeper(Path(folder)) as keeper:
        return property_test(keeper.database, BOOK, seed=3, invariants=planted)


def test_a_failure_that_takes_two_steps_is_shown_with_these_two() -> None:
    """A reversal; the book is new, so what it reverses must be invented, too."""
    failure = reversed_once().failure
    assert failure is not None
    assert [found.kind for found in failure.events][1:] == ["reversal"]


def test_a_failure_may_lie_in_the_reversal_of_an_event_of_the_log(tmp_path: Path) -> None:
    planted = observing("log_stands", lambda step: step.stored.version > 17 and (step.stored.reverses or 18) <= 17)
    with Bookkeeper.open(str(sample_file(tmp_path)), "read") as keeper:
        failure = failure_of(keeper, invariants=planted)
    (found,) = map(given_fields, failure.events)
    assert found == {"type": "reversal", "reverses": found["reverses"], "key": "property-test:18"}
    assert failure.findings[0].version == 18


@cache
def mixed() -> Failure:
    """The shortest future of a new book that divides a withdrawal into profit and principal."""
    with tempfile.TemporaryDirectory() as folder, open_keeper(Path(folder)) as keeper:
        return failure_of(keeper, invariants=observing("never_mixed", mixes), seed=1)


def test_the_shown_sequence_can_be_appended_and_breaks_the_real_log_at_the_same_version(keeper: Bookkeeper) -> None:
    keeper.append_all(BOOK, [parse_line(line) for line in ndjson(mixed())])
    with keeper.database.reading() as connection:
        found = present_of(connection, BOOK, observing("never_mixed", mixes)).findings
    assert found == tuple(mixed().findings)
    assert found[0].version == 1 + len(mixed().events) <= 4


def test_no_event_of_a_shown_sequence_can_be_left_out(keeper: Bookkeeper) -> None:
    """Without any of those before it, the withdrawal is none that the engine would decide."""
    *before, last = mixed().events
    for left_out in before:
        simulation = Simulation(present(keeper))
        for found in before:
            if found is not left_out:
                simulation.record(found)
        with pytest.raises(Refused, match="evidence"):
            simulation.record(last)


def test_every_line_of_a_shown_sequence_has_a_key_and_nothing_that_is_left_to_default() -> None:
    lines = [json.loads(line) for line in ndjson(mixed())]
    for version, line in enumerate(lines, 2):
        assert line["key"] in (
            f"property-test:{version}",
            f"synthetic_initial_basis#{version}",
            "synthetic_initial_basis",
        )
        assert None not in line.values()
        assert not {"book", "version", "event_id", "recorded_at"} & set(line)
        assert line.get("basis_unknown", True) is True


def test_a_wrong_policy_is_found(keeper: Bookkeeper) -> None:
    failure = failure_of(keeper, policies={"profit_first/1": classify_principal_first}, seed=7)
    assert failure.findings[0].invariant == "withdrawal_neutral"
    assert "profit does not match the book" in failure.findings[0].detail
    assert failure.events[-1].kind == "withdrawal"
    assert len(failure.events) <= 3


def test_a_program_that_stumbles_is_found_with_the_events_that_make_it(keeper: Bookkeeper) -> None:
    def stumble(step: Step) -> bool:
        return not step.stored.effects.unknown_bases or bool({}["no such key"])  # type: ignore[index]

    failure = failure_of(keeper, invariants=observing("stumbles", lambda step: not stumble(step)), seed=11)
    assert [found.detail for found in failure.findings] == ["KeyError: 'no such key'"]
    assert [found.kind for found in failure.events] == ["deposit"]


def test_a_log_that_does_not_hold_itself_has_no_future(tmp_path: Path) -> None:
    path = sample_file(tmp_path)
    tamper(path, "UPDATE events SET net_deposits_delta = '84' WHERE version = 2")
    with Bookkeeper.open(str(path), "read") as keeper:
        tested = property_test(keeper.database, BOOK, seed=SEED)
    assert tested.failure is not None
    assert ("injection_neutral", 2) in {(found.invariant, found.version) for found in tested.failure.findings}
    assert tested.failure.events == ()
    assert tested.statistics == Statistics()


def test_statistics_stop_at_the_failure() -> None:
    """The hundreds of shorter futures that are tried afterwards do not count."""
    tested = reversed_once()
    assert tested.statistics.futures < 100
    assert tested.statistics.events["reversal"] == 0


def test_the_log_that_was_tested_is_still_at_its_version(keeper: Bookkeeper) -> None:
    tested = property_test(keeper.database, BOOK, seed=SEED, examples=5)
    assert tested.head.version == len(log_of(keeper)) == 1
