"""On Spark the statements give what the pure folds give, leave what is wrong, and answer no null for what does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from engine.columns.duck import EngineFailed
from engine.proof.check import CheckReport
from engine.upkeep.cluster.folding import fold_store, whole_state
from engine.upkeep.cluster.proving import check_store
from engine.upkeep.cluster.spark import Spark, spark_session
from ledger.database.log_columns import LATER, SEGMENTS
from ledger.integrity.chain_statement import KINDS, unproved
from ledger.stored import StoredEvent
from projections.newest_marks import initial_basis, newest_marks
from projections.sums import NotSummed, state_of_sums, sums
from tests.engine.columns.logs import FOREVER, FORMS, logs, write_log
from tests.projections.in_memory import TERMS
from tests.projections.in_memory import log_of as log_in_memory
from tests_cluster.standalone import Cluster
from tests_cluster.stores import NOW, SOUND, WIDE, MadeStore, folded, make_store

RANDOM = [replace(TERMS, name=f"random {number}") for number in range(10)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    return make_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def spark(cluster: Cluster) -> Iterator[Spark]:
    with spark_session(cluster.url) as session:
        yield session


@pytest.fixture(scope="module")
def reports(spark: Spark, made: MadeStore) -> dict[str | None, CheckReport]:
    """What a check says of each book while nothing happens to the cluster."""
    return {report.book: report for report in check_store(spark, str(made.location), NOW)}


def test_every_sound_book_is_folded(spark: Spark, made: MadeStore) -> None:
    found = fold_store(spark, str(made.location))
    assert found.faults.keys() == {"cut", "lost", "unreadable"}
    assert {name: found.states[name] for name in SOUND} == {name: folded(log) for name, log in made.sound.items()}


def test_every_damaged_book_is_found_and_no_other(made: MadeStore, reports: dict[str | None, CheckReport]) -> None:
    assert reports.keys() == made.sealed.keys()
    assert {name for name, report in reports.items() if report.ok} == set(SOUND)
    assert {name: reports[name].head.hash for name in SOUND} == {name: log[-1].hash for name, log in made.sound.items()}
    for name, detail in {
        "cut": "the segment 21–40 is not trusted: its file is not what was sealed",
        "lost": "the segment 21–40 is not trusted: its file is missing",
        "unreadable": "its manifest cannot be read",
        "richer": "the state of the segment 21–40 say another inventory XRP",
        "forged": "the columns of the segment 1–100 say another inventory XRP",
    }.items():
        assert any(detail in finding.detail for finding in reports[name].findings), (name, reports[name].findings)
    # A row is told by the prover, from its texts; only what no text shows is told of the segment.
    unseen = ("asset_delta_decimal", "asset_delta_rest", "previous_hash")
    assert any(
        "the key 'another' stands in the book 3 times" in finding.detail for finding in reports["forged"].findings
    )
    told = {finding.version for finding in reports["forged"].findings if finding.invariant in ("chain", "log_rules")}
    assert {version for version, (column, _) in made.planted.items() if column not in unseen} <= told


def test_the_statement_leaves_every_planted_fault(spark: Spark, made: MadeStore) -> None:
    spark.use(str(made.location), [f"book=forged/1-{len(made.sealed['forged'])}.parquet"])
    # Here alone as Spark does it by itself, that is compiled; see conf/spark-defaults.conf.
    spark.session.conf.set("spark.sql.codegen.wholeStage", "true")
    left = {row.version for row in spark.rows(unproved(SEGMENTS, FORMS, FOREVER)) if not row.is_proved}
    spark.session.conf.set("spark.sql.codegen.wholeStage", "false")
    assert {fault for version, fault in made.planted.items() if version not in left} == set()


@given(random=st.tuples(*(logs(most=24, book=book) for book in RANDOM)), cut=st.integers(1, 20))
@hypothesis_settings(max_examples=2, phases=[Phase.generate])
def test_statements_give_what_the_folds_give(
    spark: Spark, tmp_path_factory: pytest.TempPathFactory, random: tuple[list[StoredEvent], ...], cut: int
) -> None:
    folder, names, safe = tmp_path_factory.mktemp("random"), list[str](), dict[str, list[StoredEvent]]()
    for log in random:
        _, files = write_log(folder, log, [cut] if cut < len(log) else [])
        is_safe = not any(file.unfit for file in files) and sum(f.widest for f in files) * len(log) < 10**20
        if is_safe:
            safe[log[0].book] = log
            names += [file.name for file in files]
    spark.use(str(folder), names)
    left = [(row.book, row.version) for row in spark.rows(unproved(SEGMENTS, FORMS, FOREVER)) if not row.is_proved]
    is_odd = {(e.book, e.version) for log in safe.values() for e in log if e.type not in KINDS or b'"ab12"' in e.body}
    assert set(left) == is_odd
    asked = (sums(SEGMENTS), newest_marks(SEGMENTS, reversals=LATER), initial_basis(SEGMENTS, LATER))
    answers = [spark.rows(query) for query in asked]
    for book, log in safe.items():
        assert whole_state(*([row for row in rows if row.book == book] for rows in answers)) == folded(log)


def test_a_sum_that_leaves_its_width_is_no_null(spark: Spark, tmp_path: Path) -> None:
    store, files = write_log(tmp_path, log_in_memory([{"type": "adjustment", **WIDE}] * 3))
    spark.use(store.location, [file.name for file in files])
    with pytest.raises((EngineFailed, NotSummed)):
        state_of_sums(spark.rows(sums(SEGMENTS)))


def test_that_the_driver_does_it_alone_is_said_before(spark: Spark, tmp_path: Path) -> None:
    """A manifest that denies how wide the amounts are makes the statement fail; the books are folded all the same."""
    made = make_store(tmp_path, damaged=False)
    manifest = made.location / "book=wide" / "_manifest.json"
    document = orjson.loads(manifest.read_bytes())
    for segment in document["segments"]:
        segment |= {"widest": "1", "unfit": 0}
    manifest.write_bytes(orjson.dumps(document))
    notes: list[str] = []
    assert fold_store(spark, str(made.location), notes.append).states == {
        name: folded(log) for name, log in made.sound.items()
    }
    assert all(report.ok for report in check_store(spark, str(made.location), NOW, notes.append))
    assert [note.rpartition(", so ")[2] for note in notes] == [
        f"3 books will be {done} on the driver, one after the other" for done in ("folded", "proved")
    ]


def test_a_worker_that_is_killed_in_the_middle_changes_nothing(
    cluster: Cluster, spark: Spark, made: MadeStore, reports: dict[str | None, CheckReport]
) -> None:
    """The worker dies while the books are proved; what it was at is done by the other one."""
    with cluster.killing_one_soon() as killed:
        while not killed:
            told = {report.book: report for report in check_store(spark, str(made.location), NOW)}
    assert {name: (each.head, each.findings) for name, each in told.items()} == {
        name: (each.head, each.findings) for name, each in reports.items()
    }
