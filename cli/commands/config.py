"""`netbasis config check`, and reading a strategy's configuration for the commands that take one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from cli.shared.options import Output, OutputOption
from cli.shared.output import emit, text_table
from cli.shared.usage import WrongUsage
from engine.reports.report import Table

if TYPE_CHECKING:
    from engine.paper.strategy_config import Strategy

ConfigOption: TypeAlias = Annotated[
    str, typer.Option("--config", metavar="FILE", help="The strategy's configuration, YAML; see `config check`.")
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="The strategy's configuration.", no_args_is_help=True)
    group.callback()(_config)
    group.command(name="check")(check)
    app.add_typer(group, name="config")


def _config() -> None:
    pass


def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The configuration, YAML.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Check a strategy's configuration and show every setting, defaults included.

    Example: netbasis config check paper.yaml
    """
    strategy = read_config(file)
    given = strategy.model_fields_set
    rows = [
        (name, getattr(strategy, name), "given" if name in given else "default", info.description)
        for name, info in type(strategy).model_fields.items()
    ]
    table = Table(("setting", "value", "from", "meaning"), rows)
    emit(output, {"strategy": strategy.model_dump()}, text_table(table), table)


def read_config(file: str) -> Strategy:
    """The strategy that a file configures; a file that cannot be read is a usage error. Raises Refused."""
    from engine.paper.strategy_config import read_strategy

    try:
        return read_strategy(Path(file))
    except OSError as error:
        raise WrongUsage(f"cannot read {file!r}: {error.strerror or error}") from error
