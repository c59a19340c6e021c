"""A Ctrl-C that comes within a driver."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it, a Ctrl-C stays one.

    Where it comes within the driver of a server, the connection may be left in the middle of an answer. The rollback then
    fails, and its error would be raised in the place of the Ctrl-C: as a lost connection, after which one tries again.
    """
    handled = sys.exc_info()[1]  # somebody may call this while he deals with an interrupt of before
    try:
        yield
    except SQLAlchemyError as error:
        before: BaseException | None = error
        while before is not None and before is not handled:
            if isinstance(before, KeyboardInterrupt | SystemExit):
                raise before from None
            before = before.__context__
        raise
