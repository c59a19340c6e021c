"""The table of what refusals say: no rule lacks its text, no text lacks its rule. Each text is raised in test_refusals."""

from __future__ import annotations

import re

import pytest

from ledger.errors import Refusal, Refused
from ledger.refusal_texts import TEXTS, refuse
from tests.support import ROOT

_REFUSES = re.compile(r"\brefuse\(\s*Refusal\.(\w+)")


def test_every_text_is_used_by_a_rule_and_every_rule_has_a_text() -> None:
    sources = (
        path.read_text("utf-8") for folder in ("ledger", "engine", "cli") for path in (ROOT / folder).rglob("*.py")
    )
    assert {Refusal[name] for source in sources for name in _REFUSES.findall(source)} == TEXTS.keys()


def test_the_texts_are_in_order_of_precedence() -> None:
    order = list(Refusal)
    assert list(TEXTS) == sorted(TEXTS, key=order.index)


def test_a_fact_that_looks_like_a_template_is_shown_as_it_is() -> None:
    with pytest.raises(Refused) as refused:
        refuse(Refusal.PRICE_REQUIRED, field="price", asset="{numeraire}", numeraire="RLUSD")
    assert (refused.value.what, refused.value.expected, refused.value.field) == (
        "an amount of {numeraire} has no value without a price",
        "the price of one {numeraire} in RLUSD",
        "price",
    )
    assert (refused.value.actual, refused.value.advice) == (None, None)


def test_what_a_rule_passes_goes_before_the_table() -> None:
    with pytest.raises(Refused) as refused:
        refuse(Refusal.TEXT_REQUIRED, expected="a name", actual=7)
    assert (refused.value.what, refused.value.expected, refused.value.actual) == ("must be a text", "a name", "7")
