"""One cluster for all tests; a test that kills a worker starts another."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
os.environ["SPARK_CONF_DIR"] = str(Path(__file__).parent / "conf")
# Of every Java that is started here: what lives for a minute is compiled once and simply.
os.environ["JDK_JAVA_OPTIONS"] = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xss4m"

from tests_cluster.standalone import Cluster, standalone_cluster

settings.register_profile("cluster", derandomize=True, deadline=None, database=None)
settings.load_profile("cluster")
# So that the cluster is ended, too, when the tests are.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A standalone master and two workers."""
    with standalone_cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started
