"""A standalone Spark cluster of one master and two workers, each a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyspark

from engine.upkeep.cluster.java import java_home

PATIENCE_S = 120
MOMENT_S = 1.0


@dataclass
class Cluster:
    """A running cluster. `url`: what `--master` takes."""

    url: str
    folder: Path
    workers: list[subprocess.Popen[bytes]]

    started: int = 0

    def start_workers(self, count: int) -> None:
        """Start more workers, with one core each, and wait until the master knows them."""
        logs = [self._start_worker() for _ in range(count)]
        for log in logs:
            _wait_for(log, "Successfully registered with master")

    def _start_worker(self) -> Path:
        number, self.started = self.started, self.started + 1
        work = self.folder / f"work-{number}"
        log = self.folder / f"worker-{number}.log"
        options = (
            "--host",
            "127.0.0.1",
            "--webui-port",
            "0",
            "--cores",
            "1",
            "--memory",
            "1g",
            "--work-dir",
            str(work),
        )
        self.workers.append(_spark_class(log, "org.apache.spark.deploy.worker.Worker", *options, self.url))
        return log

    @contextmanager
    def killing_one_soon(self) -> Iterator[list[int]]:
        """Kill a worker and its executors in a moment, and tell its id; afterwards start another."""
        killed: list[int] = []

        def kill() -> None:
            worker = self.workers.pop(0)
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
            killed.append(worker.pid)

        timer = threading.Timer(MOMENT_S, kill)
        timer.start()
        try:
            yield killed
        finally:
            timer.join()
            self.start_workers(1)


@contextmanager
def standalone_cluster(folder: Path) -> Iterator[Cluster]:
    """Start a master and two workers; all of them are gone afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "master.log"
    place = ("--host", "127.0.0.1", "--port", str(port), "--webui-port", "0")
    master = _spark_class(log, "org.apache.spark.deploy.master.Master", *place)
    cluster = Cluster(f"spark://127.0.0.1:{port}", folder, [])
    try:
        _wait_for(log, "New state: ALIVE")
        cluster.start_workers(2)
        yield cluster
    finally:
        for process in (*cluster.workers, master):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _spark_class(log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    script = Path(pyspark.__file__).parent / "bin" / "spark-class"
    environment = {**os.environ, "JAVA_HOME": str(java_home()), "SPARK_LOCAL_IP": "127.0.0.1", "TZ": "UTC"}
    with log.open("wb") as file:
        return subprocess.Popen(
            [script, *arguments], stdout=file, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )


def _wait_for(log: Path, words: str) -> None:
    ends = time.monotonic() + PATIENCE_S
    while words not in log.read_text("utf-8", "replace"):
        assert time.monotonic() < ends, log.read_text("utf-8", "replace")[-2000:]
        time.sleep(0.1)
