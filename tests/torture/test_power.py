"""A lost power and a failing disk, in short; `make torture` tries thousands."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest

from torture.disk import Operation, after_power_loss
from torture.figures import Figures
from torture.power import FAULTS, fault_at, power_losses

DICE = Random(28)  # noqa: S311


def test_what_is_synced_stays_and_of_the_rest_any_part() -> None:
    write = Operation("write", "a", 0, b"1" * 512 + b"2" * 512)
    log = [write, Operation("sync", "a"), Operation("write", "a", 512, b"3" * 512), Operation("write", "b", 0, b"4")]
    seen = {tuple(sorted(after_power_loss(log, {}, DICE).items())) for _ in range(60)}
    assert {name for files in seen for name, _ in files} == {"a", "b"}
    assert all(dict(files)["a"][:512] == b"1" * 512 for files in seen)
    assert {dict(files)["a"][512:] for files in seen} == {b"2" * 512, b"3" * 512}
    assert any("b" not in dict(files) for files in seen)
    truncated = after_power_loss([*log, Operation("truncate", "a", 5), Operation("sync", "a")], {}, DICE)
    assert truncated["a"] == b"11111"


def test_nothing_acknowledged_goes_with_the_power_and_without_syncs_it_does(tmp_path: Path) -> None:
    figures = Figures()
    now = time.monotonic()  # a number of times, however long they take
    power_losses(Random(1), tmp_path, now, figures, least=12)  # noqa: S311
    assert figures.broken == []
    lost = power_losses(Random(1), tmp_path, now, figures, "OFF", least=12)  # noqa: S311
    assert lost > 0, "with synchronous off nothing was lost: the imagined disk proves nothing"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("name", "after"), list(zip(FAULTS, (3, 2, 9, 1, 1), strict=True)))
def test_a_disk_that_fails_loses_nothing(tmp_path: Path, name: str, after: int) -> None:
    wrong, came = fault_at(tmp_path, name, after, for_ever=after % 2 == 1)
    assert wrong is None
    assert came or name == "truncation fails"
