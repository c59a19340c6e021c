"""Every error that a user can meet stands in the gallery, and prints what stands there."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.regenerate import masked
from ledger.errors import Refusal, StorageFault, VersionPassed
from tests.cli import error_gallery
from tests.engines import forget
from tests.postgres_support import empty_database, url_of
from tests.support import ROOT

# Errors that need a server, a full minute or another user; each has a test that provokes the real thing.
ELSEWHERE = {
    "access_denied": "tests/ledger/database/test_postgres_trouble.py",
    "book_already_open": "tests/ledger/database/store_contract.py",  # a file's `opened` line is compared with the terms
    "database_busy": "tests/ledger/database/test_store_sqlite.py",
    "database_full": "tests/ledger/database/test_sqlite.py",
    "database_moved": "tests/ledger/database/test_file.py",
    "schema_older": "tests/migrations/test_migrations.py",
    "database_encoding": "tests/ledger/database/test_postgres_trouble.py",
    "database_not_writable": "tests/cli/test_bad_input.py",
    "ledger_unclear": "tests/cli/test_import_legacy.py",
    "ledger_in_use": "tests/cli/test_backup.py",
    "stamp_unreadable": "tests/cli/test_heads.py",
    "extra_missing": "tests/ledger/database/test_postgres_trouble.py",
}


@pytest.mark.parametrize("path", error_gallery.sessions(), ids=lambda path: path.stem)
def test_the_error_prints_what_stands_in_the_gallery(path: Path) -> None:
    session = path.read_text("utf-8")
    assert masked(error_gallery.replayed(session)) == masked(session), "run `make docs`"


# What a rule refuses is refused before the engine matters; what the storage says is its own.
OF_THE_STORAGE = {fault.value for fault in StorageFault}
ON_ANY_ENGINE = [
    path
    for path in error_gallery.sessions()
    if not error_gallery.is_about_a_file(path) and path.stem in OF_THE_STORAGE | {"exists_with_different_amount"}
]


@pytest.mark.parametrize("path", ON_ANY_ENGINE, ids=lambda path: path.stem)
def test_the_error_prints_the_same_on_a_server(path: Path) -> None:
    session = path.read_text("utf-8")
    location = url_of(empty_database())
    assert masked(error_gallery.replayed(session, location)) == masked(session)
    forget(location)


@pytest.mark.parametrize("path", error_gallery.sessions(), ids=lambda path: path.stem)
def test_a_session_shows_the_error_that_it_is_named_after(path: Path) -> None:
    assert f"error[{path.stem}" in path.read_text("utf-8")
    assert "Traceback" not in path.read_text("utf-8")


def test_no_error_is_missing_from_the_gallery() -> None:
    shown = {path.stem for path in error_gallery.sessions()}
    codes = {code.value for code in (*Refusal, *StorageFault)}
    codes |= {
        VersionPassed("book", 1, 2).code,
        "exists_with_different_amount",
        "exists_reversed",
        "usage",
        "interrupted",
        "input_output_failed",
    }
    assert codes - shown - ELSEWHERE.keys() == {"interrupted", "input_output_failed"}  # tests/cli/test_append_file.py
    assert shown <= codes
    assert not shown & ELSEWHERE.keys()


@pytest.mark.parametrize(("code", "test"), ELSEWHERE.items())
def test_what_stands_elsewhere_does(code: str, test: str) -> None:
    text = (ROOT / test).read_text("utf-8")
    assert code in text or code.upper() in text
