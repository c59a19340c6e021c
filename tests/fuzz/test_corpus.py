"""The corpora of `make fuzz`, and every finding of it, replayed without the fuzzer."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from fuzz.targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")
INPUTS = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_an_input_of_the_corpus_is_taken_or_refused(path: Path) -> None:
    """The input itself, cut at each place, and with bytes exchanged."""
    data = path.read_bytes()
    dice = Random(path.name)  # noqa: S311
    read = TARGETS[path.parent.name].read
    read(data)
    for _ in range(4):
        place = dice.randrange(len(data) + 1)
        read(data[:place])
        read(data[:place] + bytes([dice.randrange(256)]) + data[place + 1 :])


def test_every_target_has_a_corpus_and_it_is_small() -> None:
    assert {path.parent.name for path in INPUTS} == set(TARGETS)
    assert sum(path.stat().st_size for path in INPUTS) < 60_000
    assert sum(target.runs for target in TARGETS.values()) >= 1_000_000
