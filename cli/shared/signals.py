"""SIGTERM and SIGHUP end a command as Ctrl-C does: it rolls back, removes copies, and reports what is committed."""

from __future__ import annotations

import signal
import sys
import threading
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_come: list[int] = []
# Long enough to be out of the finalizer.
_AGAIN_AFTER_S = 0.01


def end_in_order() -> None:
    """From now on, the first of these signals raises KeyboardInterrupt. Signals that are ignored (`nohup`) stay ignored."""
    sys.unraisablehook = _raise_again
    for number in _SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _take)


def signal_that_came() -> signal.Signals | None:
    """The signal that ended the command; None for Ctrl-C."""
    return signal.Signals(_come[0]) if _come else None


def _take(number: int, _frame: FrameType | None) -> NoReturn:
    _come.append(number)
    for each in _SIGNALS:
        if signal.getsignal(each) is _take:
            signal.signal(each, signal.SIG_IGN)  # a second signal must not interrupt the clean-up
    raise KeyboardInterrupt


def _raise_again(dropped: UnraisableHookArgs, /) -> None:
    """Python drops what is raised within a finalizer. An interrupt that came there is raised again after it."""
    if not isinstance(dropped.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(dropped)
        return
    signal.signal(signal.SIGTERM, _interrupt)
    main_thread = threading.main_thread().ident
    assert main_thread is not None
    threading.Timer(_AGAIN_AFTER_S, partial(signal.pthread_kill, main_thread, signal.SIGTERM)).start()


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
