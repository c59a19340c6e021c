"""An interrupt that comes while Python runs a finalizer, which drops what is raised in it, ends the command all the same."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.script_server import GIVE_UP_S
from tests.support import ROOT

PROGRAM = """
import os, signal, sys, time
from cli.shared.signals import end_in_order, signal_that_came
end_in_order()

class Late:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))
        for _ in range(1000):
            pass

try:
    late = Late()
    del late
    time.sleep(30)
    print("went on")
except KeyboardInterrupt:
    came = signal_that_came()
    print("ended by", came.name if came else "Ctrl-C")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_is_raised_again_after_the_finalizer(number: signal.Signals) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(int(number))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=GIVE_UP_S,
        check=False,
    )
    name = "Ctrl-C" if number == signal.SIGINT else number.name
    assert (done.stdout, done.stderr) == (f"ended by {name}\n", "")
