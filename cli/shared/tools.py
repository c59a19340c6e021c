"""The reading commands as tools for an assistant: what each is called with, made from the command's own options.

A tool `pnl` with {"as_of": "2026-03", "price": ["XRP=1.3"]} is `netbasis … pnl -O json --as-of=2026-03 --price=XRP=1.3`. A
value always stands in one word with its option, or behind `--`, so that it cannot become an option. What writes a file, and
what names one to be read, is no part of any tool.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, get_args, get_type_hints

READING = (
    *("books", "status", "balance", "pnl", "register", "show", "lots", "gains", "income", "returns", "sessions"),
    *("summary", "audit basis", "inbox", "check", "head", "schema"),
)
ABOUT_NO_BOOK = frozenset({"books", "schema"})
NO_PART_OF_A_TOOL = frozenset({"output", "file", "plot", "config"})
MOST_CHARACTERS = 200_000
_KINDS = {bool: "boolean", int: "integer"}


@dataclass(frozen=True, slots=True)
class Tool:
    """A command that reads.

    name:         the command's words, joined by `_`
    words:        the command's words
    description:  its help
    schema:       a JSON Schema of its arguments, an object
    options:      by the name of an argument, the option that it is; None for a positional argument
    """

    name: str
    words: Sequence[str]
    description: str
    schema: dict[str, Any]
    options: Mapping[str, str | None]

    def arguments(self, given: Mapping[str, Any]) -> list[str]:
        """The words of the command line. Raises ValueError for arguments that do not fit the schema."""
        missing = [name for name in self.schema["required"] if name not in given]
        if missing:
            raise ValueError(f"the argument {missing[0]!r} is missing")
        before: list[str] = []
        options: list[str] = []
        behind: list[str] = []
        for name, value in given.items():
            if name not in self.options:
                raise ValueError(f"no such argument: {name!r}; there are {', '.join(self.options) or 'none'}")
            option, place = self.options[name], before if name == "book" else options
            for text in _texts(name, value, self.schema["properties"][name]):
                if option is None:
                    behind.append(text)
                else:
                    place.append(option if text is True else f"{option}={text}")
        return [*before, *self.words, *options, *(["--", *behind] if behind else [])]


def _texts(name: str, value: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
    """The texts that a value becomes; True for a flag that is set. None is the same as nothing."""
    kind = schema["type"]
    if value is None:
        return
    if kind == "array":
        if not isinstance(value, list):
            raise ValueError(f"the argument {name!r}: expected an array of strings")
        for item in value:
            yield from _texts(name, item, {"type": "string"})
    elif kind == "boolean":
        if not isinstance(value, bool):
            raise ValueError(f"the argument {name!r}: expected true or false")
        if value:
            yield True
    elif isinstance(value, str | int) and not isinstance(value, bool):
        yield str(value)  # a version may come as a number
    else:
        raise ValueError(f"the argument {name!r}: expected {'an integer' if kind == 'integer' else 'a string'}")


def tools_of(root: Any, *, only_book: bool) -> list[Tool]:
    """The tools, from the group of all commands. `only_book`: there is one book to look at, which is no argument then."""
    found = []
    for words in map(str.split, READING):
        if only_book and words == ["books"]:
            continue
        command = root
        for word in words:
            command = command.commands[word]
        found.append(_tool(words, command, only_book=only_book))
    return found


def _tool(words: list[str], command: Any, *, only_book: bool) -> Tool:
    hints = get_type_hints(inspect.unwrap(command.callback))
    properties: dict[str, dict[str, Any]] = {}
    options: dict[str, str | None] = {}
    required = []
    if not only_book and words[0] not in ABOUT_NO_BOOK:
        properties["book"] = {"type": "string", "description": "The book; not needed when there is only one."}
        options["book"] = "--book"
    left_out = {*NO_PART_OF_A_TOOL, "help"} | ({"all_books"} if only_book else set())
    more: list[str] = []
    for param in command.params:
        if param.name == "output":
            more = ["-O", "json"]
        if param.name in left_out:
            continue
        is_option = param.param_type_name == "option"
        name = max(param.opts, key=len).lstrip("-").replace("-", "_") if is_option else param.name
        properties[name] = {**_schema(hints[param.name]), "description": _described(param)}
        options[name] = max(param.opts, key=len) if is_option else None
        if param.required:
            required.append(name)
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Tool("_".join(words), [*words, *more], inspect.cleandoc(command.help), schema, options)


def _schema(annotation: Any) -> dict[str, Any]:
    kind = next((each for each in get_args(annotation) if each is not type(None)), annotation)
    if getattr(kind, "__origin__", kind) is list:
        return {"type": "array", "items": {"type": "string"}}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return {"type": "string", "enum": [member.value for member in kind]}
    return {"type": _KINDS.get(kind, "string")}


def _described(param: Any) -> str:
    return " ".join(part for part in (param.metavar and f"{param.metavar}.", param.help) if part)


class TooLong(Exception):
    """An answer has more characters than an assistant should be given."""


class _Answer(io.StringIO):
    """Keeps what is printed, up to a limit."""

    def write(self, text: str) -> int:
        if self.tell() + len(text) > MOST_CHARACTERS:
            raise TooLong
        return super().write(text)


def answer(run: Callable[[Sequence[str]], int], words: Sequence[str]) -> tuple[str, bool]:
    """What a command line prints, and whether it failed. One at a time: the program's streams are taken away meanwhile."""
    out, err = _Answer(), _Answer()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = run(words)
    except TooLong:
        return (
            f"the answer is longer than {MOST_CHARACTERS:,} characters: choose a shorter period, or fewer events",
            True,
        )
    failed = code != 0 and not out.getvalue()  # `check` answers with its findings, and 1
    return (err if failed else out).getvalue().strip(), failed
