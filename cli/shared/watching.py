"""Waiting for what comes next, without missing that nobody reads any more."""

from __future__ import annotations

import select
import sys
import time


def reader_is_there(seconds: float) -> bool:
    """Wait for so long; False at once when the reader of stdout has gone, which a write alone would notice too late."""
    try:
        number = sys.stdout.fileno()
    except OSError:  # stdout is no file: a program reads it from memory
        time.sleep(seconds)
        return True
    watched = select.poll()
    watched.register(number, 0)  # errors and hang-ups are told without being asked for
    return not watched.poll(seconds * 1000)
