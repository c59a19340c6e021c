"""The strategy's configuration: a YAML file in which every number is read from its own digits.

    strategy:
      base_size_rlusd: 15.0             # the text "15.0", never a binary float
      max_rlusd_exposure: 120
      anchor_max_divergence_bps: 10.0

YAML readers turn `15.0` into a binary float and `1:25` into 85, and of two equal keys they keep the last. Here the document
is composed, not constructed: a scalar is the text that was typed, and an unknown or duplicate setting is refused with its
line. Errors: Refused `not_yaml`, `not_an_object`, `field_duplicate`, `field_unknown`, `field_required`, `setting_retired`,
`size_exceeds_limit`, and the refusals of numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from ledger.amounts import amount_text
from ledger.errors import Refusal, Refused, shown
from ledger.events import Amount, NotNegative, PositiveAmount

SECTION = "strategy"
# Retired for good. It is named only here, for the error of a file that still has it.
RETIRED = "max_inventory_usd"
_WHOLE_BPS = 10_000
_LONGEST_S = 10**9
_BYTES = 1 << 16
_SHOWN_CHARACTERS = 200


class Strategy(BaseModel):
    """The settings of the quoting loop. Sizes and limits are in the numeraire, spreads and fees in basis points."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    base_size_rlusd: PositiveAmount = Field(description="size of a quote")
    max_rlusd_exposure: NotNegative = Field(description="the numeraire balance that no quote may take the book beyond")
    anchor_max_divergence_bps: NotNegative = Field(
        description="no quotes while the mid is further than this from the anchor"
    )
    half_spread_bps: NotNegative = Field(Decimal(5), description="distance of a quote from the mid, less than 10000")
    anchor_window_s: PositiveAmount = Field(Decimal(300), description="seconds of tape that the anchor averages, whole")
    maker_fee_bps: Amount = Field(Decimal(0), description="of a fill's quote amount; negative: a rebate")
    mark_interval_s: PositiveAmount = Field(Decimal(3600), description="seconds of tape between two marks, whole")
    log_interval_s: PositiveAmount = Field(
        Decimal(3600), description="seconds of tape before the same reason for no quote is logged again, whole"
    )

    @field_validator("half_spread_bps", "maker_fee_bps")
    @classmethod
    def _less_than_the_whole(cls, bps: Decimal, info: ValidationInfo) -> Decimal:
        if bps.copy_abs() >= _WHOLE_BPS:
            raise Refused(
                Refusal.AMOUNT_OUT_OF_RANGE,
                f"{info.field_name}: that is the whole price or more",
                expected=f"less than {_WHOLE_BPS} basis points",
                actual=bps,
                field=info.field_name,
            )
        return bps

    @field_validator("anchor_window_s", "mark_interval_s", "log_interval_s")
    @classmethod
    def _whole_seconds(cls, seconds: Decimal, info: ValidationInfo) -> Decimal:
        if seconds > _LONGEST_S or seconds != int(seconds):
            raise Refused(
                Refusal.AMOUNT_TOO_PRECISE if seconds <= _LONGEST_S else Refusal.AMOUNT_OUT_OF_RANGE,
                f"{info.field_name}: not a number of seconds",
                expected=f"a whole number from 1 to {_LONGEST_S}",
                actual=seconds,
                field=info.field_name,
            )
        return seconds

    @model_validator(mode="after")
    def _size_within_the_limit(self) -> Self:
        if self.base_size_rlusd > self.max_rlusd_exposure:
            raise Refused(
                Refusal.SIZE_EXCEEDS_LIMIT,
                "base_size_rlusd: even on an empty book, a quote of this size would exceed max_rlusd_exposure",
                expected=f"at most {amount_text(self.max_rlusd_exposure)}, the limit",
                actual=amount_text(self.base_size_rlusd),
                advice="lower the size, or raise max_rlusd_exposure",
                field="base_size_rlusd",
            )
        return self

    @property
    def anchor_window(self) -> timedelta:
        """The span of tape that the anchor averages."""
        return timedelta(seconds=int(self.anchor_window_s))

    @property
    def mark_interval(self) -> timedelta:
        """The time between two marks."""
        return timedelta(seconds=int(self.mark_interval_s))

    @property
    def log_interval(self) -> timedelta:
        """The time after which the same reason is logged again."""
        return timedelta(seconds=int(self.log_interval_s))


def read_strategy(path: Path) -> Strategy:
    """Read a strategy from a YAML file. Raises Refused, with file and line in `where`; OSError."""
    if "\0" in str(path):
        raise Refused(Refusal.NOT_YAML, "the path has a NUL", expected="the path of a file", actual=str(path))
    with path.open("rb") as file:
        document = file.read(_BYTES + 1)
    return parse_strategy(document, name=path.name)


def parse_strategy(document: bytes, *, name: str) -> Strategy:
    """Read a strategy from a YAML document. `name`: for messages. Raises Refused, with name and line in `where`."""
    root = _composed(document, name)
    for key in _keys(root):
        if key.value == RETIRED:
            raise _at(
                Refused(
                    Refusal.SETTING_RETIRED,
                    f"{RETIRED} is retired for good: nothing reads it, so the limit would not be enforced",
                    expected="max_rlusd_exposure, which limits the balance",
                    advice="remove it",
                ),
                name,
                key,
            )
    sections = _mapping(root, name, (SECTION,))
    if SECTION not in sections:
        _refuse_missing(SECTION, name, root)
    settings = _mapping(sections[SECTION], name, tuple(Strategy.model_fields))
    for field, info in Strategy.model_fields.items():
        if info.is_required() and field not in settings:
            _refuse_missing(field, name, sections[SECTION])
    return _validated(settings, name)


def _composed(document: bytes, name: str) -> yaml.Node | None:
    """The document's nodes. An alias refers to its node and does not copy it, so no document grows when it is read."""
    if len(document) > _BYTES:
        raise _named(Refused(Refusal.NOT_YAML, "the file is too long", expected=f"at most {_BYTES} bytes"), name)
    try:
        root: yaml.Node | None = yaml.compose(document, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeError) as error:
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        mark = getattr(error, "problem_mark", None)
        refused = Refused(
            Refusal.NOT_YAML,
            f"not YAML: {reason[:_SHOWN_CHARACTERS]}",
            expected="a YAML document with the key strategy:",
        )
        raise _named(refused, name, mark.line + 1 if mark else None) from error
    except RecursionError as error:
        raise _named(
            Refused(Refusal.NOT_YAML, "nested too deeply", expected="strategy: and its settings"), name
        ) from error
    except (
        Exception
    ) as error:  # the YAML reader fails in many ways, for example on "\UFFFFFFFF"; in any case the file is wrong
        raise _named(
            Refused(Refusal.NOT_YAML, f"not YAML: {str(error)[:_SHOWN_CHARACTERS]}", expected="a YAML document"), name
        ) from error
    return root


def _named(refused: Refused, name: str, line: int | None = None) -> Refused:
    refused.where = shown(name) if line is None else f"{shown(name)} line {line}"
    return refused


def _keys(root: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    """The keys of all mappings at any depth, each node once, even if aliases repeat it."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield from (key for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            waiting += [child for pair in node.value for child in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _mapping(node: yaml.Node | None, name: str, known: tuple[str, ...]) -> Mapping[str, yaml.Node]:
    """The entries of a mapping by key. Raises Refused for anything else, an unknown key, or a duplicate one."""
    if not isinstance(node, yaml.MappingNode):
        what = f"must be a mapping of {', '.join(known)}"
        raise _at(Refused(Refusal.NOT_AN_OBJECT, what, expected=f"such as {known[0]}: …"), name, node)
    settings: dict[str, yaml.Node] = {}
    for key, value in node.value:
        text = key.value if isinstance(key, yaml.ScalarNode) else ""
        if text not in known:
            _refuse_unknown(text, name, key, known)
        if text in settings:
            raise _at(
                Refused(Refusal.FIELD_DUPLICATE, f"{text} is given twice", expected="each setting once", field=text),
                name,
                key,
            )
        settings[text] = value
    return settings


def _refuse_unknown(text: str, name: str, key: yaml.Node, known: tuple[str, ...]) -> NoReturn:
    nearest = get_close_matches(text, known, n=1, cutoff=0)[0]
    misplaced = known == (SECTION,) and text in Strategy.model_fields
    advice = f"put it under {SECTION}:" if misplaced else f"did you mean {nearest}?"
    raise _at(
        Refused(
            Refusal.FIELD_UNKNOWN,
            "no such setting",
            expected=f"one of {', '.join(known)}",
            actual=text,
            advice=advice,
            field=text,
        ),
        name,
        key,
    )


def _refuse_missing(field: str, name: str, node: yaml.Node | None) -> NoReturn:
    raise _at(Refused(Refusal.FIELD_REQUIRED, f"{field} is missing", expected=f"{field}: …", field=field), name, node)


def _validated(settings: Mapping[str, yaml.Node], name: str) -> Strategy:
    texts = {
        field: node.value if isinstance(node, yaml.ScalarNode) else "a list or a mapping"
        for field, node in settings.items()
    }
    try:
        return Strategy.model_validate(texts)
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        field, refused = str(details["loc"][0]), details["ctx"]["refused"]
        refused.what, refused.field = f"{field}: {refused.what}", field
        raise _at(refused, name, settings[field]) from error
    except Refused as refused:  # from a validator above, about a given field: defaults are not validated
        raise _at(refused, name, settings[refused.field or ""]) from None


def _at(refused: Refused, name: str, node: yaml.Node | None) -> Refused:
    """The refusal, with name and line in `where`."""
    return _named(refused, name, None if node is None else node.start_mark.line + 1)
