"""The progress callback of long operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

# Called from time to time with the number of events done so far.
OnProgress: TypeAlias = Callable[[int], None]
