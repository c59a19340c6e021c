"""`netbasis cluster` as a user meets it: its table, its findings and its exit code; `check` in a process of its own."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import orjson
import pyarrow.parquet as parquet
import pytest

from cli.main import run as run_here
from engine.upkeep.cluster import java
from ledger.errors import StorageError, StorageFault
from tests_cluster.standalone import Cluster
from tests_cluster.stores import SOUND, make_store, segment_file

NETBASIS = str(Path(sysconfig.get_path("scripts")) / "netbasis")


def words(command: str, location: Path, master: str, *more: str) -> list[str]:
    return ["cluster", command, "--segments", str(location), "--master", master, *more]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([NETBASIS, *words], capture_output=True, text=True, check=False)


def test_the_commands(cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = make_store(tmp_path, damaged=False)
    assert run_here(words("rebuild", made.location, cluster.url, "-O", "json")) == 0, capsys.readouterr().err
    books = orjson.loads(capsys.readouterr().out)["books"]
    assert {each["book"]: each["version"] for each in books} == {name: len(log) for name, log in made.sealed.items()}
    rows = parquet.read_table(made.location / "_projections").to_pylist()
    assert {row["book"] for row in rows} == set(SOUND)
    segment_file(made.location, "main", 1).unlink()
    checked = run(*words("check", made.location, cluster.url))
    assert checked.returncode == 1, checked.stderr
    assert checked.stdout.startswith("main: segments: the book was not proved: the segment 1–8 is not trusted")
    told = {row["book"]: row["findings"] for row in parquet.read_table(made.location / "_checked").to_pylist()}
    assert told == {"main": 1, "a/b": 0, "wide": 0}


@pytest.mark.parametrize(
    ("home", "what"),
    [(None, "Spark 4 has no Java"), ("/nowhere", "does not run"), ("wheel", "does not run on the Java")],
)
def test_a_java_that_is_missing_or_unfit_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, home: str | None, what: str
) -> None:
    """As though Spark 4 were installed: its Java is that of JAVA_HOME, and the one of the wheel lacks a module."""
    of_wheel = java.java_home()
    monkeypatch.setattr(java, "version", lambda name: "4.0.1")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    if home is not None:
        monkeypatch.setenv("JAVA_HOME", str(of_wheel) if home == "wheel" else home)
    with pytest.raises(StorageError) as caught:
        java.java_home()
    assert caught.value.fault is StorageFault.EXTRA_MISSING
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("command", ["rebuild", "check"])
def test_a_store_without_books_and_a_result_that_would_replace_files_are_refused(
    cluster: Cluster, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(words(command, tmp_path / "typo", cluster.url)) == 4
    assert "error[segments_unreachable]: there are no segments" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    assert run_here(words(command, tmp_path / "typo", cluster.url, "--result", str(tmp_path / "mine"))) == 4
    assert "no earlier result" in capsys.readouterr().err
    assert (tmp_path / "mine" / "file").read_text() == "mine"


def test_a_master_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "segments").mkdir()
    checked = run(*words("check", tmp_path / "segments", "nonsense://nowhere"))
    assert (checked.returncode, checked.stdout) == (4, ""), checked.stderr
    # Before it, Java says what it says.
    assert checked.stderr.splitlines()[-1].startswith("error[database_unreachable]: Spark does not start"), (
        checked.stderr
    )
