"""What every command reads, writes and prints is the same on a SQLite file and on a server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.registry import COMMANDS
from tests.cli_support import Cli, Ran, deposit, ndjson
from tests.engine.importers.legacy.legacy_databases import EXACT
from tests.engines import forget
from tests.support import ROOT

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)

# Commands in order; what each does is what the next ones read. Refusals of every kind are among them.
STORY = [
    "init --mode paper",
    "init --mode live",
    "append deposit --asset RLUSD --amount 100 --tx-hash FEED",
    "append deposit --asset RLUSD --amount 100 --tx-hash feed",
    "append deposit --asset RLUSD --amount 101 --tx-hash feed",
    "append fill --side buy --base-amount 50 --quote-amount 65.000000000000000001 --key f1 --strategy maker",
    "append fill --side sell --base-amount 0.1234567890123456789 --quote-amount 0.2 --fee-amount 0.01 --fee-asset XRP",
    "append fill --side sell --base-amount 1 --quote-amount 2 --key f2",
    "append mark --asset XRP --price 1.3",
    "append mark --asset XRP --price 99 --at 2062-01-01",
    "append adjustment --asset XRP --amount -0.5 --reason network_fee",
    "append --file given.ndjson",
    "append --file given.ndjson",
    "backfill-basis 137.284078 --actor owner",
    "backfill-basis 137.284078 --actor owner --even-so",
    "inject 50 --key i1",
    "inject 50 --key i1 --dry-run",
    "inject 51 --key i1",
    "withdraw 10 --dry-run",
    "withdraw 10 --key w1",
    "withdraw 10000",
    "reverse 4 --dry-run",
    "reverse 4",
    "reverse 4",
    "append fill --side buy --base-amount 51 --quote-amount 66 --key f3 --corrects 4",
    "balance",
    "balance --as-of 5 -O csv",
    "books",
    "books -O json",
    "show 4",
    "show f3 -O json",
    "show nobody",
    "balance --as-of 99",
    "bal -O ndjson",
    "register",
    "reg --asset XRP -O ndjson",
    "register --strategy maker -O csv",
    "pnl",
    "pnl -O json",
    "pnl --from 2026-03 --to today",
    "pnl --price XRP=2",
    "pnl --lots --fees in-cost -O json",
    "lots",
    "lots --method average -O csv",
    "gains --group-by month",
    "gains -O json",
    "income -O csv",
    "returns -O json",
    "sessions",
    "schema",
    "follow --from 1 --once",
    "follow --from 99 --once",
    "follow --once",
    "status",
    "status -O json",
    "status -O prometheus",
    "export ndjson",
    "export ndjson --type fill",
    "export csv",
    "export koinly",
    "export hledger",
    "export beancount --no-lots",
    "audit basis",
    "audit basis -O json",
    "summary",
    "summary -O json",
    "check",
    "check -O json",
    "head",
    "rebuild",
    "rebuild --dry-run -O json",
    "verify-injection 5",
    "db current",
    "db history -O json",
    "import ccxt trades_and_movements.json",
    "inbox",
    "inbox -O json",
    "withdraw 1",
    "inbox resolve 1 --price XRP=1.4",
    "inbox resolve 2 --basis -20",
    "import ccxt trades_and_movements.json -O json",
    "inbox --all -O csv",
    "import legacy-db old.db --dry-run",
    "import legacy-db old.db",
    "import legacy-db old.db -O json",
    "--book vault init --mode live",
    "transfer 5 --to vault --dry-run",
    "transfer 5 --to vault --key t1",
    "transfer 5 --to nowhere",
    "books -O csv",
    "--book vault pnl -O json",
    "reconcile RLUSD=1 XRP=2 --only-named",
    "reconcile RLUSD=1 --adjust --reason nightly -O json",
    "paper run --tape tape.csv --config paper.yaml --session s",
    "paper run --tape tape.csv --config paper.yaml --session s",
    "exposure --config paper.yaml",
    "summary --session s -O csv",
    "register --session s",
    "config check paper.yaml",
    "property-test --examples 1 --seed 7",
    "--db copy.db db upgrade",
    "copy --to copy.db",
    "copy --to copy.db -O json",
    "--db copy.db check -O json",
    "check --only projections_match -O csv",
]
# Each of its own: the folder of a demo, a database of its own.
# A ledger of its own; a server on stdin; files whose default place is the engine's own (tests/engine/columns).
# What shows the engine or a file's size is tried on both in test_backup.py and test_doctor.py.
NOT_IN_THE_STORY = {"demo", "mcp", "seal", "serve", "report", "cluster", "backup", "restore", "doctor"}


@pytest.fixture
def both(tmp_path: Path) -> Iterator[list[Cli]]:
    """A folder and an empty ledger on each engine, with the same files beside it."""
    made = []
    for engine in ("sqlite", "postgres"):
        folder = tmp_path / engine
        folder.mkdir()
        cli = Cli(folder, engine, empty=True)
        cli.write(
            "given.ndjson", ndjson([deposit("g1", "1.5"), deposit("g2", "0.000000000000000000000000000000000001")])
        )
        for name in ("paper.yaml", "trades_and_movements.json"):
            cli.write(name, (ROOT / "examples" / name).read_bytes())
        tape = (ROOT / "examples" / "tape.csv").read_text().splitlines(keepends=True)
        cli.write("tape.csv", "".join(tape[:121]))
        EXACT["capital_on_both_sides"](folder / "old.db")
        made.append(cli)
    yield made
    for cli in made:
        forget(cli.location)


def masked(cli: Cli, ran: Ran) -> tuple[int, str, str]:
    """What a command did, without what must differ: ids, hashes, how long it took, where the ledger is."""

    def mask(text: str) -> str:
        text = re.sub(r"postgresql[+]psycopg://\S+", "LEDGER", text.replace(cli.location, "LEDGER"))
        text = text.replace(str(cli.folder), "FOLDER")
        text = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UUID", text)
        text = re.sub(r"\b([0-9a-f]{64}|[0-9a-f]{12})\b", "HASH", text)
        text = re.sub(r"(hash_prefix\{.*\}) \d+", r"\1 HASH", text)
        text = re.sub(r'\d+\.\d+ s\b|"seconds":"[0-9.]+"', "SECONDS", text)
        return re.sub(r" {2,}|-{3,}", "  ", text)

    return ran.code, mask(ran.out), mask(ran.err)


def test_a_story_is_the_same_on_both_engines(both: list[Cli], monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock moves on by a second with each command, so that recorded times are the same, too."""
    for number, line in enumerate(STORY):
        answers = []
        for cli in both:
            monkeypatch.chdir(cli.folder)
            target: tuple[str, ...] | None = None
            words = line.split()
            if words[0] == "--db":
                target, words = (words[0], words[1]), words[2:]
            ran = cli.here(*words, now=NOW + timedelta(seconds=number), target=target)
            answers.append(masked(cli, ran))
        assert answers[0] == answers[1], line
        assert answers[0][0] in (0, 1, 2, 3), (line, answers[0])


def test_the_story_has_every_command() -> None:
    assert {re.sub("^--(db|book) [^ ]+ ", "", line).split()[0] for line in STORY} == COMMANDS.keys() - NOT_IN_THE_STORY
