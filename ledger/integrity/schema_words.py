"""The words of SQL's CREATE statements, brought into one form: one blank where there are any, and no comments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

# By table or view, its parts and how each is defined.
Facts = dict[str, dict[str, str]]

_WORD = re.compile(
    r"""(?P<nothing>\s+|--[^\n]*|/\*.*?\*/)|(?P<text>'(?:[^']|'')*')|(?P<name>"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\])"""
    r"""|(?P<word>\w+)|(?P<sign>.)""",
    re.DOTALL,
)
_PLAIN_NAME = re.compile(r'["`\[]([a-z_][a-z0-9_]*)["`\]]')
_CONSTRAINTS = ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")


def words(statement: str) -> Iterator[str]:
    """The words and signs of a statement; a plain name loses its quotes."""
    for match in _WORD.finditer(statement):
        if match.lastgroup == "name":
            yield _PLAIN_NAME.sub(r"\1", match[0])
        elif match.lastgroup != "nothing":
            yield match[0]


# The same few statements are read at every check.
@lru_cache(maxsize=200)
def evened(statement: str) -> str:
    """A statement in the form in which statements are compared."""
    return joined(list(words(statement)))


def joined(found: Sequence[str]) -> str:
    """Words and signs as one line."""
    line = ""
    for word in found:
        line += word if not line or word in "),;." or line[-1] in "(." else f" {word}"
    return line


@lru_cache(maxsize=100)
def table_parts(statement: str) -> Mapping[str, str]:
    """The columns and constraints of a CREATE TABLE, and what is said of the table itself."""
    found = list(words(statement))
    if found[:2] != ["CREATE", "TABLE"] or "(" not in found[:4]:
        return {"table": joined(found)}
    depth, part, parts = 0, list[str](), list[list[str]]()
    rest: list[str] = []
    for index, word in enumerate(found[found.index("(") :], found.index("(")):
        depth += (word == "(") - (word == ")")
        if depth == 0:
            rest = found[index + 1 :]
            break
        if depth == 1 and word == ",":
            parts.append(part)
            part = []
        elif (depth, word) != (1, "(") or part:
            part.append(word)
    described = {"table": joined(rest)}
    for definition in [*parts, part]:
        kind, name = _of_part(definition)
        described[kind] = name
    return described


def _of_part(definition: Sequence[str]) -> tuple[str, str]:
    if definition and definition[0] in _CONSTRAINTS:
        is_named = definition[0] == "CONSTRAINT"
        name = definition[1] if is_named else joined(definition)
        return f"constraint {name}", joined(definition[2:] if is_named else definition)
    return f"column {joined(definition[:1])}", joined(definition[1:])
