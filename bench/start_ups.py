"""How long short commands take from start to end, beside the least that such a program takes: imports and parsing.

Run as a script, this file is that least: `app` is a typer program of as many commands as netbasis, with plain help; `row` is
one that imports typer, pydantic and SQLAlchemy and shows one row of a ledger.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median

import typer

ROUNDS = 11
_PLAIN = {"rich_markup_mode": None, "pretty_exceptions_enable": False}


def all_lines(netbasis: str, ledger: Path) -> Iterator[tuple[str, float, str, float]]:
    """What, its p50 in ms, what stands beside it, and that one's p50; all in turns with a Python that does nothing."""
    from bench import children
    from cli.registry import COMMANDS

    count = str(sum(entry.help is not None for entry in COMMANDS.values()))
    app, row = f"a bare typer program of {count} commands", "a bare program that shows a row"
    completing = ("/usr/bin/env", "COMP_WORDS=netbasis c", "COMP_CWORD=1")
    bare = (sys.executable, __file__)
    nothing = (sys.executable, "-c", "pass")
    works: Mapping[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {
        "--help": ((netbasis, "--help"), app, (*bare, "app", count, "--help")),
        "completion": (
            (*completing, "_NETBASIS_COMPLETE=complete_bash", netbasis),
            app,
            (*completing, "_BARE_COMPLETE=complete_bash", *bare, "app", count),
        ),
        "balance": ((netbasis, "--db", str(ledger), "balance"), row, (*bare, "row", str(ledger))),
        "balance ": ((netbasis, "--db", str(ledger), "balance"), "python -c pass", nothing),
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, (ours, _, beside) in works.items():
            taken[name].append((children.run(*ours).seconds * 1000, children.run(*beside).seconds * 1000))
    for name, (_, what, _) in works.items():
        own, least = zip(*taken[name], strict=True)
        yield f"start-up, {name.strip()}, p50", median(own), what, median(least)


def _app(count: int) -> typer.Typer:
    app = typer.Typer(**_PLAIN)  # type: ignore[arg-type]

    def command(name: str = "x", number: int = 1) -> None:
        """Do something that is said in a line of this length, as a command does."""

    for number in range(count):
        app.command(f"command-{number}")(command)
    return app


def _row(location: str) -> None:
    import pydantic
    import sqlalchemy

    class Balance(pydantic.BaseModel):
        asset: str
        total: str

    app = typer.Typer(**_PLAIN)  # type: ignore[arg-type]

    @app.command()
    def show() -> None:
        table = sqlalchemy.table("inventory", sqlalchemy.column("asset"), sqlalchemy.column("total"))
        with sqlalchemy.create_engine(f"sqlite:///{location}").connect() as connection:
            row = connection.execute(sqlalchemy.select(table)).first()
            typer.echo(None if row is None else Balance.model_validate(row, from_attributes=True))

    app([])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["app", number, *rest]:
            _app(int(number))(rest, prog_name="bare")
        case ["row", place]:
            _row(place)
