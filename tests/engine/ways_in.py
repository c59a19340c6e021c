"""Every way by which an event comes into a book, each as a function that says what became of it.

A way takes a `Cli`, whose book it appends to, and the fields of one event. It answers `appended`, `exists`, or the code of
the error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from engine.bookkeeper import Bookkeeper
from ledger.errors import NetbasisError
from ledger.events import Event
from tests.cli_support import Cli, Ran, ndjson
from tests.support import event

Given = Mapping[str, object]
Way = Callable[[Cli, Given], str]


def answer(ran: Ran) -> str:
    """What a command line with `-O json` says that it did."""
    refused = re.search(r"error\[(\w+)\]", ran.err)
    if refused is not None:
        assert ran.code in (1, 3), ran
        return refused[1]
    assert ran.code == 0, ran
    document = ran.json
    return "exists" if document["existed"] else "appended"


def by_append(cli: Cli, given: Given) -> str:
    """`append TYPE`."""
    return answer(cli.here("append", str(given["type"]), *options(given), "-O", "json"))


def by_decision(cli: Cli, given: Given) -> str:
    """`inject`, or `withdraw`, which finds out the basis by itself."""
    return answer(_decided(cli, given))


def by_rehearsal_first(cli: Cli, given: Given) -> str:
    """A dry run, which must leave the ledger as it was, and then the same without."""
    before = cli.unchanged()
    rehearsed = answer(_decided(cli, given, "--dry-run"))
    assert cli.unchanged() == before
    done = by_decision(cli, given)
    assert rehearsed == done
    return done


def _decided(cli: Cli, given: Given, *more: str) -> Ran:
    command = {"deposit": "inject", "withdrawal": "withdraw"}[str(given["type"])]
    wanted = {name: text for name, text in given.items() if name not in ("basis_delta", "price")}
    price = [f"--price={given['asset']}={given['price']}"] if "price" in given else []
    return cli.here(command, *options(wanted), *price, *more, "-O", "json")


def by_file(cli: Cli, given: Given) -> str:
    """`append --file`."""
    return answer(_filed(cli, [given]))


def by_batch(cli: Cli, given: Given) -> str:
    """`append --file … --batch 1`."""
    return answer(_filed(cli, [given], "--batch", "1"))


def _filed(cli: Cli, lines: Sequence[Given], *more: str) -> Ran:
    path = cli.folder / cli.write("given.ndjson", ndjson(lines))
    return cli.here("append", "--file", str(path), *more, "-O", "json")


def by_library(cli: Cli, given: Given) -> str:
    """`Bookkeeper.append`."""
    return _in_library(cli, lambda keeper: keeper.append(cli.book, event_of(given)).existed)


def by_list(cli: Cli, given: Given) -> str:
    """`Bookkeeper.append_all`."""
    return _in_library(cli, lambda keeper: keeper.append_all(cli.book, [event_of(given)]).existed == 1)


def by_transaction(cli: Cli, given: Given) -> str:
    """`Bookkeeper.transaction`, which asks before it appends."""

    def work(keeper: Bookkeeper) -> bool:
        with keeper.transaction(cli.book) as transaction:
            found = transaction.find_duplicate(event_of(given))
            outcome = transaction.append(event_of(given))
            assert (found is not None) == outcome.existed
            assert transaction.find_duplicate(event_of(given)) == outcome.stored
            return outcome.existed

    return _in_library(cli, work)


def _in_library(cli: Cli, work: Callable[[Bookkeeper], bool]) -> str:
    with Bookkeeper.open(cli.location) as keeper:
        try:
            return "exists" if work(keeper) else "appended"
        except NetbasisError as error:
            return error.code


SINGLE: dict[str, Way] = {"append": by_append, "decision": by_decision, "rehearsal": by_rehearsal_first}
WAYS: dict[str, Way] = SINGLE | {
    "file": by_file,
    "batch": by_batch,
    "library": by_library,
    "list": by_list,
    "transaction": by_transaction,
}


def options(given: Given) -> list[str]:
    """The options of a command for an event's fields."""
    return [f"--{name.replace('_', '-')}={text}" for name, text in given.items() if name != "type"]


def event_of(given: Given) -> Event:
    """The event of these fields."""
    fields = dict(given)
    return event(str(fields.pop("type")), **fields)
