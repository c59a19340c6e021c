"""Settings of the whole suite: Hypothesis finds the same examples on every run, and no example has a deadline."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from engine.bookkeeper import Bookkeeper
from tests.support import open_keeper

# `explore` looks elsewhere on every run: HYPOTHESIS_PROFILE=explore make test
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, database=None, max_examples=100, report_multiple_bugs=False
)
settings.register_profile("explore", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Bookkeeper]:
    """A Bookkeeper with the book `main` open at version 1."""
    with open_keeper(tmp_path) as opened:
        yield opened
