"""A JSON Schema of the events that `append --file` takes, made from the models.

It says of each field by itself what the models say, as exactly as a schema can: patterns of amounts and times with their
limits, lengths of texts, choices, what must be there. What depends on the book or on its log (whether a price is needed,
whether a key is there) is said by the refusals alone. Patterns are those of ECMA 262, as the standard has it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from ledger import events as of
from ledger.amounts import DIGITS_AFTER_POINT, DIGITS_BEFORE_POINT, SUM_DIGITS_BEFORE_POINT
from ledger.events import EVENT_TYPES, TAGS, Event
from ledger.given import CORRECTS_KEY, REVERSES_KEY
from ledger.texts import ASSET_CHARACTERS, BOOK_CHARACTERS, KEY_CHARACTERS, NAME_CHARACTERS, NOTE_CHARACTERS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]

_CONTROL = r"\u0000-\u001f\u007f-\u009f"
_NOT_ZERO = "(?=[0-9.]*[1-9])"
_IS_ZERO = "(?![0-9.]*[1-9])"
_MINUS = {
    "any": "-?",
    "positive": _NOT_ZERO,
    "not zero": f"-?{_NOT_ZERO}",
    "not negative": f"(-{_IS_ZERO})?",
    "not positive": f"(-|{_IS_ZERO})",
}
_TIME = (
    "^(?!0000)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt ]"
    "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.,][0-9]{1,6}0*)?)?"
    "([Zz]|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])$"
)
# A version is read from at most so many digits.
_GREATEST_VERSION = 10**15 - 1


def _amount(which: str, before_point: int = DIGITS_BEFORE_POINT) -> Schema:
    """A decimal in quotes. With an exponent the limits are judged by value, which no pattern can."""
    plain = rf"0*[0-9]{{1,{before_point}}}(\.[0-9]{{1,{DIGITS_AFTER_POINT}}}0*)?"
    with_exponent = r"[0-9]+(\.[0-9]+)?[eE][+-]?[0-9]{1,3}"
    return {"type": "string", "pattern": f"^{_MINUS[which]}({plain}|{with_exponent})$"}


def _text(characters: int, *, may_be_empty: bool = False) -> Schema:
    shortest: Schema = {} if may_be_empty else {"minLength": 1}
    return {"type": "string", **shortest, "maxLength": characters, "pattern": f"^[^{_CONTROL}]*$"}


_ASSET: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": ASSET_CHARACTERS,
    "pattern": rf"^[^\s={_CONTROL}]+$",
    "not": {"pattern": "^[^/]+/[^/]+$"},  # a pair is not an asset
}
_NAMED: dict[str, tuple[Any, Schema]] = {
    "amount": (of.Amount, _amount("any")),
    "positive_amount": (of.PositiveAmount, _amount("positive")),
    "signed_amount": (of.SignedAmount, _amount("not zero")),
    "sum": (of.Sum, _amount("any", SUM_DIGITS_BEFORE_POINT)),
    "not_negative": (of.NotNegative, _amount("not negative")),
    "price": (of.Price, _amount("not negative")),
    "positive_price": (of.PositivePrice, _amount("positive")),
    "asset": (of.Asset, _ASSET),
    "book_name": (of.BookName, _text(BOOK_CHARACTERS)),
    "key": (of.Key, _text(KEY_CHARACTERS)),
    "label": (of.Label, _text(KEY_CHARACTERS, may_be_empty=True)),
    "note": (of.Note, _text(NOTE_CHARACTERS, may_be_empty=True)),
    "name": (of.Name, _text(NAME_CHARACTERS)),
    "time": (of.Time, {"type": "string", "pattern": _TIME}),
    "version": (of.Version, {"type": "integer", "minimum": 1, "maximum": _GREATEST_VERSION}),
    "flag": (of.Flag, {"type": "boolean"}),
}
_NOT_POSITIVE = "not_positive_amount"
_NULL: Schema = {"type": "null"}
_TEXT: Schema = {"type": "string"}


def event_schema() -> Schema:
    """The schema, as a JSON object."""
    definitions: Schema = {name: schema for name, (_, schema) in _NAMED.items()}
    definitions[_NOT_POSITIVE] = _amount("not positive")
    for kind, model in EVENT_TYPES.items():
        definitions[kind] = _event(kind, model, definitions)
    return {
        "$schema": DIALECT,
        "$id": "urn:netbasis:event",
        "title": "An event as a line of `netbasis append --file`",
        "oneOf": [_reference(kind) for kind in EVENT_TYPES],
        "$defs": dict(sorted(definitions.items())),
    }


def _event(kind: str, model: type[Event], definitions: Schema) -> Schema:
    schema = _object(model, definitions)
    fields = schema["properties"]
    fields["type"] = {"const": kind}
    fields[CORRECTS_KEY] = {**_reference("key"), "description": "the key of the event that this one replaces"}
    fields["tx_hash"] = {**fields["tx_hash"], "anyOf": [_NULL, {**_reference("label"), "not": {"pattern": r"^\s*$"}}]}
    schema["required"] = ["type", *schema["required"]]
    schema["allOf"] = [_not_both("corrects", CORRECTS_KEY), *_RULES.get(kind, _of_others)(schema)]
    return schema


def _object(model: type[BaseModel], definitions: Schema) -> Schema:
    """A model's fields by name; nested models become definitions."""
    hints = get_type_hints(model, include_extras=True)
    fields = {
        name: {**_field(hints[name], definitions), "description": info.description}
        for name, info in model.model_fields.items()
        if name != "type"
    }
    return {
        "type": "object",
        "description": model.__doc__,
        "properties": fields,
        "required": [name for name, info in model.model_fields.items() if info.is_required()],
        "additionalProperties": False,
    }


def _field(hint: Any, definitions: Schema) -> Schema:
    """The schema of a field from its annotation."""
    for name, (annotation, _) in _NAMED.items():
        if hint == annotation:
            return _reference(name)
    origin, members = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return {"anyOf": [_field(member, definitions) for member in members]}
    if hint is type(None):
        return _NULL
    if origin is Literal:
        return _choice(members)
    if origin is Annotated:
        return _of_annotated(members[0], definitions)
    raise TypeError(f"no schema for {hint!r}")


def _of_annotated(hint: Any, definitions: Schema) -> Schema:
    """A nested model, a tuple of them or of names, or a choice in upper or lower case."""
    if get_origin(hint) is Literal:
        return {"type": "string", "pattern": f"^({'|'.join(map(_in_any_case, get_args(hint)))})$"}
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        if item is str:  # tags
            return {"type": "array", "items": _reference("name"), "maxItems": TAGS}
        return {"type": "array", "items": _nested(item, definitions)}
    return _nested(hint, definitions)


def _nested(model: type[BaseModel], definitions: Schema) -> Schema:
    if model.__name__ not in definitions:
        definitions[model.__name__] = _object(model, definitions)
    return _reference(model.__name__)


def _choice(choices: tuple[str, ...]) -> Schema:
    return {"enum": list(choices)}


def _in_any_case(word: str) -> str:
    return "".join(f"[{letter}{letter.upper()}]" for letter in word)


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _has(name: str) -> Schema:
    """The field is there, and is not null."""
    return {"required": [name], "properties": {name: {"not": _NULL}}}


def _not_both(one: str, other: str) -> Schema:
    return {"not": {"allOf": [_has(one), _has(other)]}}


def _of_opened(schema: Schema) -> list[Schema]:
    return []  # a book has one opening, which needs no key


def _of_others(schema: Schema) -> list[Schema]:
    return [_has("key")]


def _of_fill(schema: Schema) -> list[Schema]:
    return [_has("key"), {"if": _has("fee_amount"), "then": _has("fee_asset")}]


def _of_movement(schema: Schema) -> list[Schema]:
    return [{"anyOf": [_has("key"), _has("tx_hash")]}]


def _of_deposit(schema: Schema) -> list[Schema]:
    unknown: Schema = {"required": ["basis_unknown"], "properties": {"basis_unknown": {"const": True}}}
    return [*_of_movement(schema), {"not": {"allOf": [unknown, _has("basis_delta")]}}]


def _of_withdrawal(schema: Schema) -> list[Schema]:
    delta = schema["properties"]["basis_delta"]
    schema["properties"]["basis_delta"] = {**_reference(_NOT_POSITIVE), "description": delta["description"]}
    return _of_movement(schema)


def _of_basis_commit(schema: Schema) -> list[Schema]:
    schema["properties"]["price"] = {**_NULL, "description": schema["properties"]["price"]["description"]}
    return [_has("key")]


def _of_reversal(schema: Schema) -> list[Schema]:
    schema["properties"][REVERSES_KEY] = {**_reference("key"), "description": "the key of the event that is reversed"}
    schema["required"].remove("reverses")
    return [_has("key"), {"oneOf": [_has("reverses"), _has(REVERSES_KEY)]}]


_RULES: dict[str, Callable[[Schema], list[Schema]]] = {
    "opened": _of_opened,
    "fill": _of_fill,
    "deposit": _of_deposit,
    "withdrawal": _of_withdrawal,
    "basis_commit": _of_basis_commit,
    "reversal": _of_reversal,
}
