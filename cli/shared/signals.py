"""SIGTERM and SIGHUP end a command as Ctrl-C does: nothing half done, no copy left behind, and it says what is committed."""

from __future__ import annotations

import signal
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_come: list[int] = []


def end_in_order() -> None:
    """From now on a first of the signals raises KeyboardInterrupt. One that is ignored, as under `nohup`, stays ignored."""
    for number in _SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _take)


def signal_that_came() -> signal.Signals | None:
    """The signal that ended the command; None where it was Ctrl-C."""
    return signal.Signals(_come[0]) if _come else None


def _take(number: int, _frame: FrameType | None) -> None:
    _come.append(number)
    for each in _SIGNALS:
        if signal.getsignal(each) is _take:
            signal.signal(each, signal.SIG_IGN)  # a second one does not disturb the tidying up
    raise KeyboardInterrupt
