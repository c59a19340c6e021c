"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

# Called now and then with how many events (or versions, or examples) are done.
OnProgress: TypeAlias = Callable[[int], None]
