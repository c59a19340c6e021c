"""Commands killed at random moments, in short; `make torture` kills a thousand and more."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.cli_support import Cli
from tests.engines import Engine
from tests.support import BOOK
from torture.kills import Broken, Killer, Trial, scenarios, verify

TRIED = {"sqlite": ("batches", "restore", "import"), "postgres": ("batches", "transfer", "seal")}


def test_what_was_acknowledged_is_there_after_a_kill(engine: Engine, tmp_path: Path) -> None:
    killer = Killer(Random(4), tmp_path, engine)  # noqa: S311
    killer.expect_s(0.15)
    for name in TRIED[engine]:
        killer.once(name)
    assert set(TRIED[engine]) <= set(scenarios())


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_half_a_transaction_and_a_lost_event_would_be_told(cli: Cli, engine: Engine) -> None:
    """The judge is no yes-man."""
    del engine
    trial = Trial(cli, ["append", "deposit"], cli.location, whole={3})
    with pytest.raises(AssertionError, match="half of a transaction"):
        verify("append", trial, -9, b"")
    trial = Trial(cli, ["--book", BOOK, "check"], cli.location)
    with pytest.raises(AssertionError, match="version 7 was acknowledged"):
        verify("stream", trial, -9, b'{"version": 7, "head": "00"}\n')
    assert issubclass(Broken, AssertionError)
