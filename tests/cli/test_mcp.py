"""`netbasis mcp`: the reading commands as tools; a real client of the official SDK talks to a real process."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from cli.commands.mcp import ended_by_signals
from cli.main import command, run
from cli.registry import COMMANDS
from cli.shared import tools
from cli.shared.tools import Tool, answer, tools_of
from tests.cli_support import Cli, assert_refused, deposit
from tests.script_server import SCRIPT

PLACES = {"file", "output_file", "plot", "config", "output"}
# What changes a ledger or a file, or is no question about a ledger.
NO_TOOLS = {
    *("init", "append", "import", "reconcile", "inject", "withdraw", "transfer", "backfill-basis", "reverse"),
    *("rebuild", "copy", "seal", "verify-injection", "property-test", "db", "paper", "config", "demo", "mcp", "export"),
    *("follow", "exposure", "serve", "report", "cluster", "backup", "restore", "doctor"),
}
# What a tool that has to be told something is told.
NEEDED: dict[str, dict[str, Any]] = {"show": {"which": "2"}}

ANSWERED: list[tuple[str, dict[str, Any], list[str]]] = [
    ("balance", {}, ["balance"]),
    ("pnl", {"price": ["XRP=1.2"], "as_of": 2}, ["pnl", "--price", "XRP=1.2", "--as-of", "2"]),
    ("audit_basis", {}, ["audit", "basis"]),
]
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("append", {}, "no such tool"),
    ("head", {"book": "other"}, "error[book_unknown]"),
    ("pnl", {"as_of": "soon"}, "error[time_malformed]"),
    ("pnl", {"plot": "x.png"}, "no such argument"),
]


@pytest.fixture
def desk(cli: Cli) -> Cli:
    cli.append(deposit("d1", "100"), deposit("--help", "20"))
    return cli


def by_name(*, only_book: bool = False) -> dict[str, Tool]:
    return {tool.name: tool for tool in tools_of(command(), only_book=only_book)}


def called(cli: Cli, name: str, given: dict[str, Any]) -> tuple[str, bool]:
    return answer(run, [f"--db={cli.location}", *by_name()[name].arguments(given)])


def test_a_client_finds_the_tools_and_reads_the_ledger_which_stays_as_it_is(desk: Cli) -> None:
    before = desk.unchanged()

    async def talk() -> None:
        server = StdioServerParameters(command=str(SCRIPT), args=["--db", desk.location, "mcp"], cwd=desk.folder)
        async with Client(server) as client:
            offered = (await client.list_tools()).tools
            assert [tool.name for tool in offered] == list(by_name())
            assert all(tool.annotations and tool.annotations.read_only_hint for tool in offered)
            assert client.instructions is not None
            assert "none of them writes" in client.instructions
            for name, given, words in ANSWERED:
                result = await client.call_tool(name, given)
                assert not result.is_error
                assert json.loads(result.content[0].text) == desk.here(*words, "-O", "json").json  # type: ignore[union-attr] # it is text
            both = await asyncio.gather(client.call_tool("head", {}), client.call_tool("check", {}))
            assert [json.loads(each.content[0].text)["version"] for each in both] == [3, 3]  # type: ignore[union-attr] # it is text
            for name, given, message in REFUSED:
                result = await client.call_tool(name, given)
                assert result.is_error
                assert message in result.content[0].text  # type: ignore[union-attr] # it is text

    asyncio.run(talk())
    assert desk.unchanged() == before


def test_every_command_is_a_tool_or_is_none_on_purpose() -> None:
    shown = {name for name, entry in COMMANDS.items() if entry.help is not None}
    assert {words.split()[0] for words in tools.READING} | NO_TOOLS == shown
    assert not {words.split()[0] for words in tools.READING} & NO_TOOLS


@pytest.mark.both_engines
def test_every_tool_answers_in_json_names_no_file_and_writes_nothing(desk: Cli) -> None:
    before, files = desk.unchanged(), sorted(desk.folder.iterdir())
    for name, tool in by_name().items():
        assert not PLACES & set(tool.options)
        text, failed = called(desk, name, NEEDED.get(name, {}))
        assert not failed, text
        assert isinstance(json.loads(text), dict)
        for option in tool.options:  # each has a description, and no option is lost
            assert tool.schema["properties"][option]["description"]
    assert desk.unchanged() == before
    assert sorted(desk.folder.iterdir()) == files


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("balance", {"book": "b", "as_of": 7}, ["--book=b", "balance", "-O", "json", "--as-of=7"]),
        ("balance", {"book": "--db=x", "as_of": None}, ["--book=--db=x", "balance", "-O", "json"]),
        ("pnl", {"price": ["A=1", "-O=csv"]}, ["pnl", "-O", "json", "--price=A=1", "--price=-O=csv"]),
        ("pnl", {"lots": True, "fees": "in-cost"}, ["pnl", "-O", "json", "--lots", "--fees=in-cost"]),
        ("pnl", {"lots": False, "price": []}, ["pnl", "-O", "json"]),
        ("show", {"which": "--help", "key": True}, ["show", "-O", "json", "--key", "--", "--help"]),
        ("inbox", {"all": True}, ["inbox", "-O", "json", "--all"]),
        ("audit_basis", {}, ["audit", "basis", "-O", "json"]),
        ("schema", {}, ["schema"]),
    ],
)
def test_arguments_become_words(name: str, given: dict[str, Any], words: list[str]) -> None:
    assert by_name()[name].arguments(given) == words


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("show", {}, "'which' is missing"),
        ("pnl", {"output": "csv"}, "no such argument: 'output'; there are book, price"),
        ("summary", {"plot": "x.png"}, "no such argument"),
        ("summary", {"config": "/etc/passwd"}, "no such argument"),
        ("books", {"book": "b"}, "no such argument: 'book'; there are none"),
        ("pnl", {"price": "XRP=1"}, "'price': expected an array of strings"),
        ("pnl", {"price": [1.5]}, "'price': expected a string"),
        ("pnl", {"lots": "yes"}, "'lots': expected true or false"),
        ("pnl", {"as_of": True}, "'as_of': expected a string"),
        ("pnl", {"as_of": {"version": 1}}, "'as_of': expected a string"),
        ("gains", {"year": 2.5}, "'year': expected a"),
    ],
)
def test_arguments_that_do_not_fit(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("'", ".")):
        by_name()[name].arguments(given)


def test_a_value_that_looks_like_an_option_is_a_value(desk: Cli) -> None:
    text, failed = called(desk, "show", {"which": "--help"})
    assert (failed, json.loads(text)["key"]) == (False, "--help")
    text, failed = called(desk, "balance", {"book": "--version"})
    assert (failed, "book_unknown" in text) == (True, True)


def test_findings_are_an_answer_and_a_failure_is_none(desk: Cli) -> None:
    text, failed = called(desk, "check", {"expect_head": "0" * 64})
    assert (failed, json.loads(text)["ok"]) == (False, False)
    text, failed = called(desk, "check", {"only": "nothing"})
    assert failed
    assert text.startswith("error[")


def test_an_answer_that_is_too_long_says_so(desk: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "MOST_CHARACTERS", 100)
    assert called(desk, "register", {}) == (
        "the answer is longer than 100 characters: choose a shorter period, or fewer events",
        True,
    )


def test_with_a_book_it_is_the_only_one() -> None:
    bound = by_name(only_book=True)
    assert "books" not in bound
    assert not any({"book", "all_books"} & set(tool.options) for tool in bound.values())
    assert "all_books" in by_name()["pnl"].options


def test_what_is_wrong_is_said_when_it_starts(desk: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_refused(desk.here("mcp", target=("--db", "no.db")), 4, "database_missing")
    assert_refused(desk.here("mcp", target=("--db", desk.location, "--book", "other")), 1, "book_unknown")
    monkeypatch.setitem(sys.modules, "mcp.server.stdio", None)
    assert_refused(desk.here("mcp"), 2, "usage", "pip install 'netbasis[mcp]'")


PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'


def test_it_ends_with_its_input(desk: Cli) -> None:
    ran = desk.run("mcp", stdin=PING)
    assert (ran.code, ran.json["id"], ran.err) == (0, 1, "")


def test_a_signal_ends_it_at_once_and_afterwards_signals_are_what_they_were() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with ended_by_signals():
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is before
