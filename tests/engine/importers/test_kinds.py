"""Which kind a file is of, and the kinds of third parties."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from engine.importers.items import Sample
from engine.importers.kinds import MODULES, kind_named, kind_names, kind_of
from ledger.errors import Refusal, Refused
from tests.support import ledger_file


def test_every_kind_is_what_its_name_says() -> None:
    for name in MODULES:
        kind = kind_named(name)
        assert kind.name == name
        assert kind.help


@pytest.mark.parametrize("head", [b"", b"hello", b"a,b\n1,2\n", b"{}", b"[1, 2]", b"\x00\xff", b"PK\x03\x04"])
def test_what_nobody_recognises_is_refused(head: bytes) -> None:
    with pytest.raises(Refused, match="name the kind") as refused:
        kind_of(Sample("given", head))
    assert refused.value.refusal is Refusal.KIND_UNKNOWN


def test_a_ledger_of_netbasis_is_no_old_database(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        kind_of(Sample("ledger.db", ledger_file(tmp_path).read_bytes()[: 1 << 16]))


def third_party(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str, value: str = "third_party:KIND"
) -> None:
    (folder / "third_party.py").write_text(code)
    info = folder / "third_party-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[netbasis.importers]\n{name} = {value}\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "third_party", raising=False)


CODE = """
from engine.importers.items import Kind
def read(sources, settings):
    return iter(())
KIND = Kind("{name}", "a third party's", lambda sample: sample.head.startswith(b"MINE"), read)
"""


@pytest.mark.parametrize("value", ["third_party:KIND", "third_party"])
def test_a_third_party_adds_a_kind_through_an_entry_point(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    third_party(tmp_path, monkeypatch, "mine", CODE.format(name="mine"), value)
    assert "mine" in kind_names()
    assert kind_of(Sample("x", b"MINE 1")).help == "a third party's"


@pytest.mark.parametrize("code", ["raise OSError('broken')", "KIND = 7", CODE.format(name="other"), ""])
def test_a_third_partys_kind_that_cannot_be_used_is_named(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    third_party(tmp_path, monkeypatch, "mine", code)
    with pytest.raises(Refused, match="'mine' of another package cannot be used"):
        kind_named("mine")


def test_a_third_party_does_not_replace_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    third_party(tmp_path, monkeypatch, "ccxt", CODE.format(name="ccxt"))
    assert kind_named("ccxt").help != "a third party's"
    assert kind_names().count("ccxt") == 1
