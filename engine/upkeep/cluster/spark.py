"""Spark over a segment store: statements of the program run on all of its files at once."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from typing import Any

from sqlalchemy import Select

from engine.columns.dialects import text_for
from engine.columns.duck import EngineFailed
from engine.columns.stores import open_store
from engine.upkeep.cluster.java import java_home
from ledger.database.log_columns import RUN_COLUMNS, Run
from ledger.errors import StorageError, StorageFault

_SETTINGS = {
    "spark.sql.ansi.enabled": "true",  # else a sum that leaves its width is NULL
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.caseSensitive": "true",
    "spark.task.maxFailures": "4",
}


class Spark:
    """A session whose table `log` is a set of segments. `session`: Spark's own."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def use(self, location: str, names: Sequence[str]) -> None:
        """Let `log` be these files of a store. Raises EngineFailed."""
        paths = [f"{_for_spark(location)}/{name}" for name in names]
        with _failing():
            # Not as a partitioned table: the column `book` is in the files.
            frame = self.session.read.option("recursiveFileLookup", "true").parquet(*paths)
            frame.createOrReplaceTempView("log")

    def want(self, pairs: Sequence[tuple[str, int]]) -> None:
        """Let the table `wanted` be these books and versions."""
        self.session.createDataFrame(list(pairs), "book string, version bigint").createOrReplaceTempView("wanted")

    def let_runs(self, runs: Sequence[Run]) -> None:
        """Let the table `runs` be these; see `ledger.database.log_columns.in_runs`."""
        kinds = ", ".join(f"{name} {'string' if name == 'book' else 'bigint'}" for name in RUN_COLUMNS)
        self.session.createDataFrame([astuple(run) for run in runs], kinds).createOrReplaceTempView("runs")

    def rows(self, query: Select[Any]) -> list[Any]:
        """A statement's rows, collected. Raises EngineFailed."""
        with _failing():
            return list(self.session.sql(text_for("spark", query)).collect())

    def digests(self, location: str, names: Sequence[str]) -> dict[str, bytes | str | None]:
        """The SHA-256 of each file, hashed by the workers; None for a missing one, a text for why one cannot be read.

        Raises StorageError `segments_unreachable` where the workers cannot do it.
        """
        context = self.session.sparkContext
        with _told("the workers cannot read the segments", "every node needs the same Python with netbasis[columns]"):
            pairs = context.parallelize(list(names), max(1, len(names)))
            return dict(pairs.map(lambda name: (name, digest_of(location, name))).collect())

    def write(self, rows: Sequence[tuple[Any, ...]], columns: Sequence[str], location: str) -> None:
        """Write a table of texts and whole numbers as Parquet; one that is there is replaced.

        Raises StorageError `segments_unreachable`.
        """
        kinds = {"version": "bigint", "findings": "bigint", "events": "bigint"}
        schema = ", ".join(f"`{name}` {kinds.get(name, 'string')}" for name in columns)
        with _told("the result cannot be written", "say with --result where Spark can write"):
            frame = self.session.createDataFrame(list(rows), schema)
            frame.coalesce(1).write.mode("overwrite").parquet(_for_spark(location))


def digest_of(location: str, name: str) -> bytes | str | None:
    """The SHA-256 of a file of a store; runs on a worker."""
    try:
        return open_store(location).digest(name)
    except OSError as error:
        return str(error)


@contextmanager
def _failing() -> Iterator[None]:
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        raise EngineFailed(str(error).partition("\n")[0]) from error


@contextmanager
def _told(what: str, advice: str) -> Iterator[None]:
    """Spark's errors are raised as StorageError `segments_unreachable`."""
    try:
        with _failing():
            yield
    except EngineFailed as error:
        raise StorageError(StorageFault.SEGMENTS_UNREACHABLE, what, actual=str(error), advice=advice) from error


@contextmanager
def spark_session(master: str) -> Iterator[Spark]:
    """A session on a cluster. `master`: `spark://host:7077`, `local[4]`, … Raises StorageError `extra_missing`."""
    os.environ["JAVA_HOME"] = str(java_home())
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    # Spark gives times without a zone, in that of the process.
    os.environ["TZ"] = "UTC"
    time.tzset()
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(master).appName("netbasis")
    for name, value in _SETTINGS.items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except Exception as error:
        # Java's errors and a gateway that did not come up have no class in common.
        raise StorageError(
            StorageFault.DATABASE_UNREACHABLE,
            "Spark does not start",
            actual=str(error).partition("\n")[0],
            advice="check --master, and that the cluster runs the same version of Spark",
        ) from error
    try:
        session.sparkContext.setLogLevel("ERROR")
        yield Spark(session)
    finally:
        session.stop()


def _for_spark(location: str) -> str:
    """A store's location as Hadoop names it."""
    if "://" not in location:
        return f"file://{open_store(location).root}"
    return location.replace("s3://", "s3a://", 1)
