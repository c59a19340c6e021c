"""On which engine the tests of the command line run."""

from __future__ import annotations

import pytest

from tests.engines import ENGINES, Engine


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Engine:
    """The engine that `pytest_generate_tests` or the test itself names."""
    named: Engine = request.param
    return named


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """On SQLite; marked `both_engines` on PostgreSQL as well: where the transaction, the storage or its errors matter.

    What the commands read and print is the same on both; `test_both_engines.py` compares all of it once.
    """
    marks = list(metafunc.definition.iter_markers("parametrize"))
    if "engine" in metafunc.fixturenames and not any("engine" in mark.args[0] for mark in marks):
        both = metafunc.definition.get_closest_marker("both_engines") is not None
        metafunc.parametrize("engine", ENGINES if both else ENGINES[:1], indirect=True)
