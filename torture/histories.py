"""Histories of list-append transactions, judged by the rules of Elle (Kingsbury and Alvaro, VLDB 2020).

    w1  append x 1      ok          every book is a list, every event appended to it a value of its own;
    w2  append x 2      ok          a read returns the whole list, of one book or of several at one moment
    r1  read x [1, 2]   ok

Since values are never lost from the middle, the reads give the order in which the appends of a list took effect. With it
every dependency is known: who wrote before whom (ww), who read whose value (wr), who missed whose value (rw), and who had
ended before whom began (rt). A cycle of them contradicts strict serialisability; which kinds it has names the anomaly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

Outcome = Literal["ok", "failed", "unknown"]
Edge = Literal["ww", "wr", "rw", "rt"]


@dataclass(frozen=True)
class Transaction:
    """One transaction as its client saw it.

    process:  who ran it
    began, ended:  by one clock; what ended before another began must come before it
    appends:  by list, the values it appended, in order
    reads:    by list, what it read
    outcome:  `unknown` when the client was not told whether it took effect
    """

    process: str
    began: float
    ended: float
    appends: Mapping[str, Sequence[str]] = field(default_factory=dict)
    reads: Mapping[str, Sequence[str]] = field(default_factory=dict)
    outcome: Outcome = "ok"


@dataclass(frozen=True)
class Anomaly:
    """What contradicts strict serialisability: its name, and which transactions it is about."""

    name: str
    what: str


def anomalies(history: Sequence[Transaction]) -> list[Anomaly]:
    """All that is wrong with a history; empty when it is strictly serialisable as far as its reads tell."""
    writers = _writers(history)
    found = [*_of_single_reads(history, writers)]
    orders, disagreements = _orders(history)
    found += disagreements
    found += _lost(history)
    if not found:  # the order of a list that nobody agrees on has no dependencies
        found += _cycles(history, writers, orders)
    return found


def _writers(history: Sequence[Transaction]) -> dict[tuple[str, str], int]:
    """By list and value, the number of the transaction that appended it."""
    return {
        (key, value): number
        for number, transaction in enumerate(history)
        for key, values in transaction.appends.items()
        for value in values
    }


def _of_single_reads(history: Sequence[Transaction], writers: Mapping[tuple[str, str], int]) -> Iterator[Anomaly]:
    for transaction in history:
        for key, values in transaction.reads.items():
            if len(set(values)) < len(values):
                yield Anomaly("duplicate", f"{transaction.process} read a value of {key} twice")
            for value in values:
                number = writers.get((key, value))
                if number is None:
                    yield Anomaly("phantom", f"{transaction.process} read {value} of {key}, which nobody appended")
                elif history[number].outcome == "failed":
                    yield Anomaly("G1a", f"{transaction.process} read {value} of {key}, of a transaction that failed")
            yield from _intermediate(history, writers, transaction, key, values)


def _intermediate(
    history: Sequence[Transaction],
    writers: Mapping[tuple[str, str], int],
    transaction: Transaction,
    key: str,
    values: Sequence[str],
) -> Iterator[Anomaly]:
    if not values or (key, values[-1]) not in writers:
        return
    writer = history[writers[key, values[-1]]]
    if writer is not transaction and writer.appends[key][-1] != values[-1]:
        yield Anomaly("G1b", f"{transaction.process} read {key} in the middle of a transaction of {writer.process}")


def _orders(history: Sequence[Transaction]) -> tuple[dict[str, list[str]], list[Anomaly]]:
    """The longest read of each list; and the reads that are not a beginning of it."""
    reads: dict[str, list[tuple[str, Sequence[str]]]] = defaultdict(list)
    for transaction in history:
        if transaction.outcome == "ok":
            for key, values in transaction.reads.items():
                reads[key].append((transaction.process, values))
    orders: dict[str, list[str]] = {}
    wrong: list[Anomaly] = []
    for key, found in reads.items():
        longest = max((list(values) for _, values in found), key=len)
        orders[key] = longest
        wrong += [
            Anomaly("incompatible order", f"{process} read {key} as no beginning of what another read")
            for process, values in found
            if list(values) != longest[: len(values)]
        ]
    return orders, wrong


def _lost(history: Sequence[Transaction]) -> Iterator[Anomaly]:
    """Appends that were acknowledged before a read began which does not have them."""
    for reader in history:
        if reader.outcome != "ok":
            continue
        for key, values in reader.reads.items():
            seen = set(values)
            for writer in history:
                if writer.outcome == "ok" and writer.ended < reader.began:
                    for value in writer.appends.get(key, ()):
                        if value not in seen:
                            yield Anomaly(
                                "lost or stale",
                                f"{reader.process} read {key} without {value}, which had been acknowledged",
                            )


def _cycles(
    history: Sequence[Transaction], writers: Mapping[tuple[str, str], int], orders: Mapping[str, list[str]]
) -> Iterator[Anomaly]:
    edges = _edges(history, writers, orders)
    for component in _components(len(history), edges):
        if len(component) > 1:
            kinds = {
                kind for of in component for to, of_kinds in edges[of].items() if to in component for kind in of_kinds
            }
            names = ", ".join(sorted({history[number].process for number in component}))
            yield Anomaly(
                _name_of(kinds), f"a cycle of {len(component)} transactions of {names} by {', '.join(sorted(kinds))}"
            )


def _name_of(kinds: set[Edge]) -> str:
    weak = "G0" if kinds <= {"ww", "rt"} else "G1c" if kinds <= {"ww", "wr", "rt"} else "G-single or G2"
    return f"{weak} in real time" if "rt" in kinds else weak


def _edges(
    history: Sequence[Transaction], writers: Mapping[tuple[str, str], int], orders: Mapping[str, list[str]]
) -> list[dict[int, set[Edge]]]:
    edges: list[dict[int, set[Edge]]] = [defaultdict(set) for _ in history]
    for kind, of, to in (*_of_values(history, writers, orders), *_in_real_time(history)):
        if of is not None and to is not None and of != to:
            edges[of][to].add(kind)
    return edges


def _of_values(
    history: Sequence[Transaction], writers: Mapping[tuple[str, str], int], orders: Mapping[str, list[str]]
) -> Iterator[tuple[Edge, int | None, int | None]]:
    for key, order in orders.items():
        for before, after in pairwise(order):
            yield "ww", writers.get((key, before)), writers.get((key, after))
    for number, transaction in enumerate(history):
        for key, values in transaction.reads.items() if transaction.outcome == "ok" else ():
            if values:
                yield "wr", writers.get((key, values[-1])), number
            if len(values) < len(orders[key]):
                yield "rw", number, writers.get((key, orders[key][len(values)]))


def _in_real_time(history: Sequence[Transaction]) -> Iterator[tuple[Edge, int, int]]:
    """Who had ended when another began. What follows from two of them is left out."""
    certain = [number for number, transaction in enumerate(history) if transaction.outcome == "ok"]
    by_beginning = sorted(certain, key=lambda number: history[number].began)
    by_end = sorted(certain, key=lambda number: history[number].ended)
    frontier: list[int] = []  # those that have ended, and after whose end none of them began
    ended = iter(by_end)
    waiting = next(ended, None)
    for number in by_beginning:
        while waiting is not None and history[waiting].ended < history[number].began:
            began = history[waiting].began
            frontier = [one for one in frontier if history[one].ended >= began] + [waiting]
            waiting = next(ended, None)
        for one in frontier:
            yield "rt", one, number


def _components(count: int, edges: Sequence[Mapping[int, object]]) -> list[set[int]]:
    """The strongly connected components (Tarjan, without recursion)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    found: list[set[int]] = []
    for root in range(count):
        if root in index:
            continue
        work: list[tuple[int, Iterator[int]]] = [(root, iter(edges[root]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, following = work[-1]
            for to in following:
                if to not in index:
                    index[to] = low[to] = len(index)
                    stack.append(to)
                    on_stack.add(to)
                    work.append((to, iter(edges[to])))
                    break
                if to in on_stack:
                    low[node] = min(low[node], index[to])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    component: set[int] = set()
                    while node not in component:
                        member = stack.pop()
                        on_stack.discard(member)
                        component.add(member)
                    found.append(component)
    return found
