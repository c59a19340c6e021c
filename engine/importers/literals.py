"""What Python writes for a dict or a list, such as `{'cost': 0.1}`, read with exact numbers.

Programs that save such objects as texts, or in a CSV, write them so. `ast.literal_eval` would make binary floats of their
numbers.
"""

from __future__ import annotations

import ast
from decimal import Decimal, InvalidOperation
from typing import Any

_CHARACTERS = 1 << 16


def read_literal(text: str) -> Any:
    """The value of a text: dict, list, tuple, str, bool, None, int, or Decimal for any other number.

    `Decimal('0.1')` is that number. Raises ValueError for anything else.
    """
    if len(text) > _CHARACTERS:
        raise ValueError("the text is too long")
    try:
        return _value(ast.parse(text.strip(), mode="eval").body, text.strip())
    except (SyntaxError, RecursionError, MemoryError, InvalidOperation) as error:
        raise ValueError("the text is no literal") from error


def _value(node: ast.expr, text: str) -> Any:
    match node:
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return {_name(key): _value(each, text) for key, each in zip(keys, values, strict=True)}
        case ast.List(elts=items):
            return [_value(each, text) for each in items]
        case ast.Tuple(elts=items):
            return tuple(_value(each, text) for each in items)
        case ast.Constant(value=bool() | str() | None as found):
            return found
        case ast.Constant(value=int() | float()):
            return _number(ast.get_source_segment(text, node) or "")
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float()) as operand):
            return -_number(ast.get_source_segment(text, operand) or "")
        case ast.Call(func=ast.Name(id="Decimal"), args=[ast.Constant(value=str(written))], keywords=[]):
            return _number(written)
    raise ValueError("the text is no literal")


def _name(node: ast.expr | None) -> str:
    match node:
        case ast.Constant(value=str(name)):
            return name
    raise ValueError("a name is no text")


def _number(written: str) -> int | Decimal:
    found = Decimal(written.replace("_", ""))
    if not found.is_finite():
        raise ValueError("the number is not finite")
    return int(written) if written.isdecimal() and len(written) < 19 else found
