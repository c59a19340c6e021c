"""`--max-mark-age`: how old a mark may be."""

from __future__ import annotations

import re
from datetime import timedelta

from cli.shared.usage import WrongUsage

_AGE = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def parse_age(text: str) -> timedelta:
    """The span of a text such as 90s, 15m, 2h or 1d. Raises WrongUsage."""
    match = _AGE.fullmatch(text)
    if match is None:
        raise WrongUsage(f"not an age: {text!r}; expected such as 90s, 15m, 2h or 1d")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
