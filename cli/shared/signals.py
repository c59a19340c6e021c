"""SIGTERM and SIGHUP end a command as Ctrl-C does: it rolls back, removes copies, and reports what is committed."""

from __future__ import annotations

import signal
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_come: list[int] = []


def end_in_order() -> None:
    """From now on, the first of these signals raises KeyboardInterrupt. Signals that are ignored (`nohup`) stay ignored."""
    for number in _SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _take)


def signal_that_came() -> signal.Signals | None:
    """The signal that ended the command; None for Ctrl-C."""
    return signal.Signals(_come[0]) if _come else None


def _take(number: int, _frame: FrameType | None) -> None:
    _come.append(number)
    for each in _SIGNALS:
        if signal.getsignal(each) is _take:
            signal.signal(each, signal.SIG_IGN)  # a second signal must not interrupt the clean-up
    raise KeyboardInterrupt
