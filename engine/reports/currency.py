"""What the amounts of a report are shown in: the numeraire, or another currency at the rate of the moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from engine.reports.report import shown
from projections.marks import Marks, Price
from projections.rates import ONE, exchanged


@dataclass(frozen=True, slots=True)
class Unit:
    """numeraire: of the books. currency: another one that was asked for, None for none. rate: its mark, None without one."""

    numeraire: str
    currency: str | None = None
    rate: Price | None = None

    @property
    def is_other(self) -> bool:
        """Whether amounts are shown in another currency than the numeraire."""
        return self.currency not in (None, self.numeraire)

    def of(self, amount: Decimal | None) -> Decimal | None:
        """An amount of the numeraire as it is shown; None where the rate is missing."""
        if self.currency is None:
            return amount
        return exchanged(amount, None if self.rate is None else self.rate.price)

    @property
    def document(self) -> Mapping[str, Any]:
        """The currency and its rate, as members of a JSON document; none where no currency was asked for."""
        if self.currency is None:
            return {}
        rate = self.rate
        given = None if rate is None else {"price": rate.price, "source": rate.source, "at": rate.at}
        return {"in": self.currency, "rate": given}

    @property
    def remarks(self) -> Iterator[str]:
        """The rate for people, or how it can be given."""
        if self.currency is None:
            return
        if self.rate is None or not self.rate.price:
            what = f"append mark --asset {self.currency} --price …, or --price {self.currency}=…"
            yield f"unknown for want of a rate of {self.currency} ({what})"
        elif self.currency != self.numeraire:
            said = f"{self.rate.source or 'no source'}, {shown(self.rate.at)}"
            yield f"rate: 1 {self.currency} = {shown(self.rate.price)} {self.numeraire} ({said})"


def unit_of(currency: str | None, numeraire: str, marks: Marks, at: datetime) -> Unit:
    """The unit that was asked for, at the newest of these marks."""
    if currency == numeraire:
        return Unit(numeraire, currency, Price(ONE, None, at))
    return Unit(numeraire, currency, None if currency is None else marks.get(currency))
