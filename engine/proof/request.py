"""What a check is to prove."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.columns.choosing import Engine
from engine.proof.heads import ExpectedHead as ExpectedHead
from engine.proof.invariants import INVARIANTS
from engine.proof.transfers import TRANSFERS
from engine.schema_proof import SCHEMA
from ledger.integrity.log_rules import LOG_RULES
from ledger.integrity.prover import CHAIN
from ledger.progress import OnProgress

PROJECTIONS_MATCH = "projections_match"
COST_BASIS = "cost_basis"
SEGMENTS = "segments"
NAMES = (CHAIN, LOG_RULES, SCHEMA, *INVARIANTS, TRANSFERS, PROJECTIONS_MATCH, SEGMENTS, COST_BASIS)
# Lots are folded in the order of time, in memory, and take several times as long as all else: of a longer log only when
# `cost_basis` is named.
COST_BASIS_EVENTS = 20_000


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What a check is to prove. `only`: names of `NAMES`; `now`: what the clock says, None for the system's.

    `is_fast`: whether sound rows of the common types are proved many at once. The outcome is the same without. `engine`:
    with `columns`, sealed rows are proved in their segments and not read; a note says which. `expected_head`: of the one
    book that is checked. `kept_heads`: of a file, each of which names its book or is that of the one book. `processes`: how
    many workers prove ranges of a log (1: this process does it alone); None: as many as there are cores, for a long log.
    """

    only: Collection[str] = NAMES
    expected_head: ExpectedHead | None = None
    on_progress: OnProgress | None = None
    now: datetime | None = None
    is_fast: bool = True
    engine: Engine = "rows"
    kept_heads: Sequence[ExpectedHead] = ()
    processes: int | None = 1
