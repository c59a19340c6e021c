"""Playing futures until an invariant breaks, then simpler and simpler ones that break it too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.configuration import set_hypothesis_home_dir, storage_directory

from engine.aside import folder_aside
from engine.policy.classification import POLICIES
from engine.proof.invariants import INVARIANTS, Invariant, Step
from engine.rehearsal.drawing import futures
from engine.rehearsal.simulation import Present, Simulation, present_of
from engine.rehearsal.statistics import Statistics
from engine.rehearsal.wishes import Policies, Turn, WithdrawWish
from ledger.book import Book, Head
from ledger.database.connections import Database
from ledger.errors import Refused
from ledger.events import Event
from ledger.integrity.findings import Finding
from ledger.progress import OnProgress
from ledger.stored import json_value

EXAMPLES = 200
ATTEMPTS_TO_SIMPLIFY = 300


@dataclass(frozen=True, slots=True)
class Failure:
    """A broken invariant.

    findings:  what does not hold
    events:    the shortest future that shows it, as `append --file` accepts it; empty when the log itself shows it
    """

    findings: Sequence[Finding]
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a property test.

    book:        its terms
    head:        where the futures began
    seed:        gives the same futures again
    statistics:  what was invented
    failure:     None when everything holds
    """

    book: Book
    head: Head
    seed: int
    statistics: Statistics
    failure: Failure | None


def property_test(
    database: Database,
    name: str,
    *,
    examples: int = EXAMPLES,
    seed: int,
    invariants: Mapping[str, type[Invariant]] = INVARIANTS,
    policies: Policies = POLICIES,
    on_progress: OnProgress | None = None,
) -> Verdict:
    """Check the invariants over the log, then at every step of `examples` invented futures. Nothing is written.

    `seed`: the same seed gives the same futures of the same log. `policies`: by name, what withdrawals are classified with.
    `on_progress`: called with the number of events so far, of the log and then of the futures. Raises Refused
    `book_unknown`; StorageError.
    """
    with database.reading() as connection:
        present = present_of(connection, name, invariants, on_progress)
    play = _Play(present, policies, on_progress)
    failure = Failure(present.findings, ()) if present.findings else _play_futures(play, examples, seed)
    return Verdict(present.book, present.head, seed, play.statistics, failure)


def given_fields(event: Event) -> dict[str, object]:
    """An event's fields as in a line of NDJSON, without fields left to default."""
    fields: dict[str, object] = {"type": event.kind}
    for name, declared in type(event).model_fields.items():
        stated = getattr(event, name)
        if stated is not None and stated != declared.default:
            fields[name] = json_value(stated)
    return fields


class _Broken(Exception):
    """An invariant does not hold in a future."""

    def __init__(self, findings: Sequence[Finding], events: Sequence[Event]) -> None:
        super().__init__(findings)
        self.failure = Failure(findings, events)


class _Enough(BaseException):
    """Ends Hypothesis's search for a simpler failure."""


def _play_futures(play: _Play, examples: int, number: int) -> Failure | None:
    """Play invented futures until one breaks, then simpler ones; returns the failure of the shortest, None for none."""

    @seed(number)
    @settings(
        max_examples=examples,
        derandomize=False,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        verbosity=Verbosity.quiet,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(futures(play.present))
    def hold(days: list[list[Turn]]) -> None:
        play.future(list(chain.from_iterable(days)))

    with _kept_out_of_the_folder(), suppress(_Broken, _Enough):
        hold()
    return play.shortest_failure()


@contextmanager
def _kept_out_of_the_folder() -> Iterator[None]:
    """Within it, Hypothesis writes its files to a temporary folder, not to the user's current one."""
    home = storage_directory(intent_to_write=False).home_directory
    with folder_aside("notes") as folder:
        set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            set_hypothesis_home_dir(home)


class _Play:
    """Plays futures, and counts what happens in them until one breaks."""

    def __init__(self, present: Present, policies: Policies, on_progress: OnProgress | None) -> None:
        self.present = present
        self.statistics = Statistics()
        self._policies = policies
        self._on_progress = on_progress
        self._attempts = 0
        self._broken: list[Turn] = []
        self._failure: Failure | None = None

    def future(self, turns: list[Turn]) -> None:
        """Play one future. Raises _Broken; _Enough when the search for a simpler one takes too long."""
        if self._failure is not None:
            self._attempts += 1
            if self._attempts > ATTEMPTS_TO_SIMPLIFY:
                raise _Enough
            self._play(turns, Statistics())
            return
        self._play(turns, self.statistics)
        self.statistics.futures += 1
        if self._on_progress is not None:
            self._on_progress(self.statistics.events.total())

    def shortest_failure(self) -> Failure | None:
        """The failure of the shortest broken future, from which no turn can be removed; None when every future held."""
        index = len(self._broken)
        while index > 0:
            index -= 1
            before = len(self._broken)
            with suppress(_Broken):
                self._play(self._broken[:index] + self._broken[index + 1 :], Statistics())
            if len(self._broken) < before:
                index = len(self._broken)
        return self._failure

    def _play(self, turns: list[Turn], statistics: Statistics) -> None:
        """Play one future; keep it if it breaks and is no longer than the kept one. Raises _Broken."""
        simulation = Simulation(self.present)
        try:
            self._play_in(simulation, turns, statistics)
        except _Broken as broken:
            kept = self._failure
            if kept is None or (len(broken.failure.events), len(turns)) <= (len(kept.events), len(self._broken)):
                self._broken, self._failure = turns, broken.failure
            raise

    def _play_in(self, simulation: Simulation, turns: list[Turn], statistics: Statistics) -> None:
        try:
            for turn in turns:
                self._turn(turn, simulation, statistics)
        except _Broken:
            raise
        except Exception as error:
            # An unexpected exception of the program is a finding, too.
            found = Finding("program", simulation.head.version + 1, f"{type(error).__name__}: {error}")
            raise _Broken([found], simulation.recorded) from error

    def _turn(self, turn: Turn, simulation: Simulation, statistics: Statistics) -> None:
        """Carry out one turn, or count its refusal."""
        try:
            event = turn if turn is None or isinstance(turn, Event) else turn.event(simulation, self._policies)
            if event is None:
                return
            step = _recorded(event, simulation, is_decided=isinstance(turn, WithdrawWish))
        except Refused as refused:
            statistics.refused[refused.code] += 1
            return
        findings = simulation.observe(step)
        if findings:
            raise _Broken(findings, simulation.recorded)
        statistics.count(step, self.present.head)


def _recorded(event: Event, simulation: Simulation, *, is_decided: bool) -> Step:
    """Record an event. Raises Refused; _Broken when the log refuses what the engine has just decided."""
    try:
        return simulation.record(event)
    except Refused as refused:
        if not is_decided:
            raise
        detail = f"the log refuses the withdrawal that the engine decided: {refused.what}"
        version = simulation.head.version + 1
        found = Finding("withdrawal_neutral", version, detail, refused.expected, refused.actual)
        keyed = event.model_copy(update={"key": simulation.next_key()})
        raise _Broken([found], [*simulation.recorded, keyed]) from refused
