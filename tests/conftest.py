"""Settings of the whole suite: Hypothesis finds the same examples on every run, and no example has a deadline."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from engine.bookkeeper import Bookkeeper
from tests.cli_support import Cli
from tests.engines import ENGINES, Engine, forget, new_ledger
from tests.support import open_keeper

# Thousands of collected tests are a heap that every full garbage collection walks: a quarter of the suite's CPU, measured.
gc.disable()

# Thousands of ledgers whose commits wait for the disk, and hundreds of servers' databases of 300 files each: where there is
# a RAM disk with room, they are made there. What is durable is tested by killing processes, which a RAM disk survives.
RAM_DISK, ROOM = Path("/dev/shm"), 4 << 30  # noqa: S108
if "TMPDIR" not in os.environ and RAM_DISK.is_dir() and shutil.disk_usage(RAM_DISK).free > ROOM:
    os.environ["TMPDIR"] = str(RAM_DISK)
    tempfile.tempdir = None

# A suite that is started in the background ignores Ctrl-C, and under nohup a hang-up, and so would the commands it starts.
for ignored, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(ignored) is signal.SIG_IGN:
        signal.signal(ignored, handler)

# 25 of what is common; `explore` looks at 1000 and elsewhere on every run: HYPOTHESIS_PROFILE=explore make test
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, database=None, max_examples=25, report_multiple_bugs=False
)
settings.register_profile("explore", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_collection_finish() -> None:
    """What was collected stays, so the garbage collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture
def keeper(location: str, tmp_path: Path) -> Iterator[Bookkeeper]:
    """A Bookkeeper with the book `main` open at version 1, on each engine in turn."""
    is_its_file = location == str(tmp_path / "ledger.db")
    with open_keeper(tmp_path, location=None if is_its_file else location) as opened:
        yield opened


@pytest.fixture
def location(engine: Engine, tmp_path: Path) -> Iterator[str]:
    """Where there is a migrated ledger without a book: a file, then a server's database."""
    made = new_ledger(engine, tmp_path)
    yield made
    forget(made)


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Engine:
    """SQLite or PostgreSQL, as `pytest_generate_tests` or the test itself names it."""
    named: Engine = request.param
    return named


# What the tests of these rooms are about does not depend on the engine: they run on SQLite, and on both where a test or a
# module is marked `both_engines`. `tests/cli/test_both_engines.py` runs every command on both and compares the answers.
ON_ONE_ENGINE = (
    "tests/cli/",
    "tests/projections/",
    "tests/ledger/test_refusals.py",
    "tests/engine/capital/",
    "tests/engine/columns/",
    "tests/engine/importers/",
    "tests/engine/paper/",
    "tests/engine/proof/test_fast_lane.py",
    "tests/engine/proof/test_segments.py",
    "tests/engine/policy/",
    "tests/engine/rehearsal/",
    "tests/engine/test_movements.py",
    "tests/engine/reports/",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """On which engines a test runs that asks for `engine`, itself or through `keeper`, `location` or `cli`."""
    marks = list(metafunc.definition.iter_markers("parametrize"))
    if "engine" not in metafunc.fixturenames or any("engine" in mark.args[0] for mark in marks):
        return
    is_marked = metafunc.definition.get_closest_marker("both_engines") is not None
    on_both = is_marked or not metafunc.definition.nodeid.startswith(ON_ONE_ENGINE)
    metafunc.parametrize("engine", ENGINES if on_both else ENGINES[:1], indirect=True)


@pytest.fixture
def cli(tmp_path: Path, engine: Engine) -> Iterator[Cli]:
    """The script, and a ledger with the book `main` at version 1, on each engine in turn."""
    made = Cli(tmp_path, engine)
    yield made
    forget(made.location)


@pytest.fixture
def empty_cli(tmp_path: Path, engine: Engine) -> Iterator[Cli]:
    """The script, and where a ledger is to be made, on each engine in turn."""
    made = Cli(tmp_path, engine, empty=True)
    yield made
    forget(made.location)
