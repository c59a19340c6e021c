"""What both engines share: how a database is opened, and what an error of the driver means."""

from __future__ import annotations

from typing import Literal, NamedTuple

from ledger.errors import StorageFault

Access = Literal["read", "write", "create"]

# The execution option of a connection whose transactions write.
WRITES = "netbasis_writes"


class Fault(NamedTuple):
    """What an error of the driver means for the caller.

    code, what, advice:  as in `ledger.errors.StorageError`
    transient:           a retry may succeed at once
    """

    code: StorageFault
    what: str
    advice: str
    transient: bool = False
