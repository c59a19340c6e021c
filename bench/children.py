"""Commands as processes of their own: what they take, and how much memory they need at most.

A process begins with the peak memory of the one that started it, so a benchmark that holds 100,000 events cannot simply
ask for its children's. Run as a script, this file is the small process in between.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Child:
    """What a command cost."""

    seconds: float
    peak_mib: float


def run(*command: str) -> Child:
    """Run a command; when it fails, the benchmark ends with what it said."""
    found = subprocess.run([sys.executable, __file__, *command], capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"{' '.join(command[1:])}: exit {found.returncode}\n{found.stderr}")
    figures = json.loads(found.stdout)
    return Child(figures["seconds"], figures["peak_bytes"] / 2**20)


def _main(command: list[str]) -> int:
    """Run a command without its output and print what it cost; its exit code."""
    drop_output = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
    started = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=[drop_output])
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - started
    peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes}))
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
