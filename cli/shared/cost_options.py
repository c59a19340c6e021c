"""`--method`, `--fees`, `--no-shorts`: how cost basis is counted."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from cli.shared.usage import WrongUsage

if TYPE_CHECKING:
    from cli.shared.options import Target
    from engine.cost_basis import CostMethod


class FeesView(StrEnum):
    """Where fees go."""

    APART = "apart"
    IN_COST = "in-cost"


MethodOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="METHOD",
        help="Which lots are closed first: average, fifo, lifo, hifo (highest price) or lofo; by default method in "
        "netbasis.toml, or fifo.",
    ),
]
FeesOption: TypeAlias = Annotated[
    FeesView,
    typer.Option(
        "--fees",
        help="apart: a figure of their own; in-cost: a fee raises what a purchase cost and lowers what a sale brought, and "
        "a fee in kind is a disposal.",
    ),
]
NoShortsOption: TypeAlias = Annotated[
    bool, typer.Option("--no-shorts", help="Refuse a disposal of more than was held, naming its version.")
]


def cost_method(named: Target, method: str | None, fees: FeesView, *, no_shorts: bool = False) -> CostMethod:
    """How cost basis is counted. Raises WrongUsage for a method that there is not."""
    from engine.cost_basis import DEFAULT_METHOD, CostMethod
    from projections.lots import METHODS

    name = method or named.method or DEFAULT_METHOD
    if name not in METHODS:
        place = "--method" if method is not None else "method in netbasis.toml"
        raise WrongUsage(f"{place} {name!r}: expected one of {', '.join(METHODS)}")
    return CostMethod(name, fees is FeesView.IN_COST, no_shorts)
