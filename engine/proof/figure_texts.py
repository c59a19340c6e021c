"""Figures as texts, for findings."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from ledger.amounts import amount_text
from ledger.integrity.raw_rows import shown_raw
from ledger.times import time_text


def figure_text(figure: Any) -> str | None:
    """A stored figure as canonical text; None for none."""
    if isinstance(figure, Decimal) and figure.is_finite():
        return amount_text(figure)
    if isinstance(figure, datetime):
        return time_text(figure)
    return None if figure is None else shown_raw(figure)
