"""What both engines say of a connection and of its errors."""

from __future__ import annotations

from typing import Literal, NamedTuple

from ledger.errors import StorageFault

Mode = Literal["read", "write", "create"]

# The execution option of a connection whose transactions write.
WRITES = "netbasis_writes"


class Fault(NamedTuple):
    """What an error of a driver means to the one who called. `passing`: the same again may succeed at once."""

    code: StorageFault
    what: str
    advice: str
    transient: bool = False
