"""`netbasis paper run`: the quoting loop over a recorded tape, into a paper book."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.commands.config import ConfigOption, read_config
from cli.shared.logs import LogFormat, LogFormatOption, LogLevel, LogLevelOption, logging_to_stderr
from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit, shown, text_table
from cli.shared.usage import WrongUsage
from engine.reports.report import Table, counted

if TYPE_CHECKING:
    from engine.paper.session import PaperRun


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Paper sessions: the quoting loop on a recorded market.", no_args_is_help=True)
    group.callback()(_paper)
    group.command(name="run")(run)
    app.add_typer(group, name="paper")


def _paper() -> None:
    pass


def run(
    context: typer.Context,
    tape: Annotated[
        str, typer.Option("--tape", metavar="FILE", help="CSV, gzip too: at,price,size (trades) or at,bid,ask.")
    ],
    config: ConfigOption,
    session: Annotated[
        str | None, typer.Option(metavar="ID", help="The session's id; else one made from the tape's hash.")
    ] = None,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: LogFormatOption = LogFormat.TEXT,
    output: OutputOption = Output.TEXT,
) -> None:
    """Trade a tape in a paper book with the configured strategy.

    A run that was stopped or killed continues where it was when it is started again with the same tape and session. Ctrl-C
    ends it within a few rows. A live book is refused.

    Example: netbasis --db paper.db paper run --tape tape.csv.gz --config paper.yaml --session monday
    """
    from engine.paper.session import run_session

    strategy, named = read_config(config), target(context)
    path = _tape_file(tape)
    with (
        _stop_signals() as has_come,
        logging_to_stderr(log_level, log_format),
        named.open("write", sound_file=True) as keeper,
    ):
        book = keeper.resolve(named.book)
        done = run_session(keeper, book, path, strategy, session, should_stop=has_come)
    emit(output, _document(done), _lines(done))


def _tape_file(tape: str) -> Path:
    """The tape's path; a usage error where there is no such file. A pipe is none: a tape is read twice."""
    path = Path(tape)
    try:
        if path.exists() and not path.is_file():
            raise WrongUsage(f"cannot read {tape!r}: it is read twice, so it must be a file")
        path.open("rb").close()
    except (OSError, ValueError) as error:
        raise WrongUsage(f"cannot read {tape!r}: {getattr(error, 'strerror', None) or error}") from error
    return path


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Within it, a first SIGINT or SIGTERM asks for an end at the next rows; a second one ends the process as ever."""
    come: list[int] = []

    def take(number: int, _frame: FrameType | None) -> None:
        come.append(number)
        for each, handler in before.items():
            signal.signal(each, handler)

    before = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(come)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _document(done: PaperRun) -> dict[str, Any]:
    return {
        "book": done.book.name,
        "session": done.session,
        "tape_sha256": done.tape.sha256,
        "rows": done.tape.rows,
        "resumed_after_row": done.resumed_after or None,
        "row": done.row,
        "finished": done.is_finished,
        "fills": done.fills,
        "marks": done.marks,
        "base_balance": done.balances.base,
        "quote_balance": done.balances.quote,
        "idle_rows": [{"side": side, "reason": reason, "rows": rows} for side, reason, rows in _idle(done)],
        "version": done.version,
    }


def _idle(done: PaperRun) -> list[tuple[str, str, int]]:
    return [(side, reason, rows) for (side, reason), rows in sorted(done.idle_rows.items())]


def _lines(done: PaperRun) -> Iterator[str]:
    book = done.book
    if done.resumed_after:
        yield f"continued after row {done.resumed_after}, where an earlier run had stopped"
    end = "to its end" if done.is_finished else f"to row {done.row} of {done.tape.last_row}; run it again to go on"
    yield f"session {shown(done.session)}: the tape was traded {end}"
    yield f"{counted(done.fills, 'fill')} and {counted(done.marks, 'mark')} recorded; version {done.version}"
    base, quote = shown(done.balances.base), shown(done.balances.quote)
    yield f"balances: {base} {book.base_asset}, {quote} {book.numeraire}"
    if done.idle_rows:
        yield "rows after which a side had no quote:"
        yield from text_table(Table(("side", "reason", "rows"), _idle(done)))
