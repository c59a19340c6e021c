"""The judge of histories names each anomaly, and finds none in serial histories; then a real one is judged."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engines import Engine
from torture.histories import Transaction, anomalies
from torture.isolation import final_read, prepare, recorded


def tx(process: str, began: float, ended: float, outcome: str = "ok", **lists: str) -> Transaction:
    """`x="+1"` appends 1 to x, `x="12"` reads [1, 2] of it."""
    appends = {key: list(values[1:]) for key, values in lists.items() if values.startswith("+")}
    reads = {key: list(values) for key, values in lists.items() if not values.startswith("+")}
    return Transaction(process, began, ended, appends, reads, outcome)  # type: ignore[arg-type] # one of the three


DICE = Random(5)  # noqa: S311
A, B = tx("a", 0, 9, x="+1"), tx("b", 0, 9, x="+2")
HISTORIES: dict[str, tuple[list[Transaction], str]] = {
    "aborted read": ([tx("a", 0, 1, "failed", x="+1"), tx("r", 2, 3, x="1")], "G1a"),
    "intermediate read": ([tx("a", 0, 9, x="+12"), tx("r", 0, 9, x="1")], "G1b"),
    "phantom": ([A, tx("r", 0, 9, x="13")], "phantom"),
    "duplicate": ([A, tx("r", 0, 9, x="11")], "duplicate"),
    "two orders": ([A, B, tx("r", 0, 9, x="12"), tx("s", 0, 9, x="21")], "incompatible order"),
    "lost": ([tx("a", 0, 1, x="+1"), tx("r", 2, 3, x="")], "lost or stale"),
    "stale after another read": ([A, tx("r", 0, 1, x="1"), tx("s", 2, 3, x="")], "G-single or G2 in real time"),
    # Two transactions whose writes to x and y went in different orders.
    "write cycle": (
        [tx("a", 0, 9, x="+1", y="+1"), tx("b", 0, 9, x="+2", y="+2"), tx("r", 0, 9, x="12"), tx("s", 0, 9, y="21")],
        "G0",
    ),
    # Each saw the other's write.
    "circular information": (
        [Transaction("a", 0, 9, {"x": ["1"]}, {"y": ["1"]}), Transaction("b", 0, 9, {"y": ["1"]}, {"x": ["1"]})],
        "G1c",
    ),
    # One moment of x, another of y: read skew.
    "read skew": (
        [tx("a", 0, 9, x="+1", y="+1"), tx("r", 0, 9, x="1", y=""), tx("s", 0, 9, x="1", y="1")],
        "G-single or G2",
    ),
    # Neither saw the other's write: write skew.
    "write skew": (
        [
            Transaction("a", 0, 9, {"x": ["1"]}, {"y": []}),
            Transaction("b", 0, 9, {"y": ["1"]}, {"x": []}),
            tx("r", 0, 9, x="1", y="1"),
        ],
        "G-single or G2",
    ),
    # 2 was acknowledged before 1 began, and yet stands behind it.
    "against real time": ([tx("a", 2, 3, x="+1"), tx("b", 0, 1, x="+2"), tx("r", 4, 5, x="12")], "G0 in real time"),
}


@pytest.mark.parametrize(("history", "name"), HISTORIES.values(), ids=HISTORIES)
def test_an_anomaly_is_named(history: list[Transaction], name: str) -> None:
    assert name in {found.name for found in anomalies(history)}


@given(
    st.lists(
        st.tuples(st.sampled_from(["x", "y", "xy"]), st.sampled_from(["append", "read", "fail", "unknown"])),
        max_size=30,
    ),
    st.randoms(),
)
def test_a_serial_history_has_none(steps: list[tuple[str, str]], dice: Random) -> None:
    """Each takes effect at a moment between its beginning and its end; of those whose outcome is unknown, some do."""
    lists: dict[str, list[str]] = {"x": [], "y": []}
    history = []
    for moment, (keys, what) in enumerate(steps):
        began, ended = moment - dice.uniform(0, 3), moment + dice.uniform(0, 3)
        if what == "read":
            history.append(Transaction("p", began, ended, {}, {key: list(lists[key]) for key in keys}))
            continue
        appends = {key: [f"{moment}"] for key in keys}
        if what == "append" or (what == "unknown" and dice.random() < 0.5):
            for key in keys:
                lists[key].append(f"{moment}")
        outcome = {"append": "ok", "fail": "failed", "unknown": "unknown"}[what]
        history.append(Transaction("p", began, ended, appends, {}, outcome))  # type: ignore[arg-type] # one of the three
    assert anomalies(history) == []


def test_racing_writers_and_readers_are_strictly_serialisable(location: str, engine: Engine, tmp_path: Path) -> None:
    """For a second and a half; `make torture` does it for longer, with crashed servers."""
    prepare(location)
    history, killed = recorded(location, tmp_path, DICE, clients=3, seconds=1.5, kills=1)
    history.append(final_read(location))
    assert anomalies(history) == []
    assert killed == 1
    assert len(history) > 10
    assert sum(len(values) for values in history[-1].reads.values()) > 3
