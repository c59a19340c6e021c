"""Tampering as a table: a share of it in every run, all of it with `python -m torture.tampering`."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.engines import Engine
from tests.support import EVERYTHING
from torture import tampering_segments
from torture.tampering import make_ledger, run, run_sealed
from torture.tampering_table import Coverage
from torture.tampering_ways import flipped_bytes


def test_each_kind_of_tampering_is_named(location: str, engine: Engine, tmp_path: Path) -> None:
    """Crudely, by `check` alone at the first version; consistently, by a head that was kept."""
    make_ledger(location, tmp_path)
    coverage = Coverage()
    share, first = (1, 0) if EVERYTHING else (90, 7) if engine == "sqlite" else (100, 23)
    run(location, coverage, share=share, first=first)
    print(*coverage.lines(), sep="\n")  # noqa: T201 - shown when it fails
    assert coverage.ok, list(coverage.lines())
    crude = sum(count for kind, count in coverage.named.items() if "kept head" not in kind)
    assert crude >= (1000 if EVERYTHING else 8)
    assert {kind for kind in coverage.named if "kept head" in kind} == {
        f"{what}, all fits; a kept head" for what in ("tail cut", "note changed", "id changed")
    }


def test_tampering_with_what_is_sealed_is_named_or_without_effect(
    location: str, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not EVERYTHING:  # two segments, of which the second is tampered with
        monkeypatch.setattr(tampering_segments, "EVENTS", 10)
    make_ledger(location, tmp_path)
    coverage = Coverage()
    # On a server the manifest is in it, and the files are what they are beside a SQLite ledger.
    share, first = (1, 0) if EVERYTHING else (97, 31) if engine == "sqlite" else (211, 67)
    run_sealed(location, tmp_path, coverage, Random(3), share=share, first=first)  # noqa: S311
    assert coverage.ok, list(coverage.lines())
    assert sum(coverage.named.values()) >= (400 if EVERYTHING else 3)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_flipped_bit_of_the_file_is_told_or_changes_nothing(location: str, tmp_path: Path) -> None:
    make_ledger(location, tmp_path)
    coverage = Coverage()
    flipped_bytes(Path(location), coverage, Random(3), 500 if EVERYTHING else 12)  # noqa: S311
    assert coverage.ok, coverage.unseen
    assert sum(coverage.named.values()) > 0
