"""The `netbasis` command: its global options, and the only place where an error becomes an exit code.

Exit codes: 0 done; 1 refused by a rule, bad data, or a check found something; 2 the command line is wrong; 3 somebody
else wrote first; 4 the storage cannot be trusted or reached; 130, 143, 129 ended by Ctrl-C, SIGTERM, SIGHUP.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, partial
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from cli.registry import Commands
from cli.shared.options import BOOK_VARIABLE, DB_VARIABLE, Clock, Target, system_clock
from cli.shared.output import answer_was_lost, harmless, lose_answers, shown
from cli.shared.signals import end_in_order, signal_that_came
from cli.shared.usage import EXIT_USAGE
from engine.commits import Commit
from ledger.errors import Conflict, NetbasisError, Refused, StorageError

EXIT_REFUSED = 1
EXIT_CONFLICT = 3
EXIT_STORAGE = 4
EXIT_INTERRUPTED = 130  # typer's for Ctrl-C
EXIT_BY_SIGNAL = 128  # and the signal's number

app = typer.Typer(
    name="netbasis",
    cls=Commands,
    help="An accounting core for trading bots: an immutable, hash-chained log where no deposit looks like profit.",
    epilog="Exit codes: 0 done; 1 refused, bad data, or a check found something; 2 wrong command line; "
    "3 somebody else wrote first; 4 the storage cannot be trusted or reached. Try `netbasis demo` first.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"netbasis {version('netbasis')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _target(
    context: typer.Context,
    db: Annotated[
        str | None,
        typer.Option(
            "--db",
            envvar=DB_VARIABLE,
            metavar="PATH_OR_URL",
            help="The ledger: a SQLite file, or a server's database; by default the one in netbasis.toml.",
            show_envvar=True,
        ),
    ] = None,
    book: Annotated[
        list[str] | None,
        typer.Option(
            "--book",
            metavar="NAME",
            help="The book; not needed when there is only one. Given more than once, balance, pnl, lots, gains, income and "
            f"returns look at these books as one.  [env var: {BOOK_VARIABLE}]",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    named = context.ensure_object(Target)
    named.name(db or None, book or ())
    if context.invoked_subcommand is None:
        from cli.shared.whereabouts import say_whereabouts

        say_whereabouts(named, _source_of_db(context, db), "--book" if book else _variable(BOOK_VARIABLE))


def _source_of_db(context: typer.Context, given: str | None) -> str | None:
    """Where the ledger's place comes from: the flag, or the variable of the environment; None where neither has it."""
    if not given:
        return None
    source = context.get_parameter_source("db")
    return DB_VARIABLE if source is not None and source.name == "ENVIRONMENT" else "--db"


def _variable(name: str) -> str | None:
    """The name of a variable of the environment that is set; else None."""
    return name if os.environ.get(name) else None


@cache
def command() -> Any:
    """The command with its options, built once."""
    return typer.main.get_command(app)


def exit_code(error: NetbasisError) -> int:
    """The exit code that an error becomes."""
    if isinstance(error, Conflict):
        return EXIT_CONFLICT
    if isinstance(error, StorageError):
        return EXIT_STORAGE
    assert isinstance(error, Refused)
    return EXIT_REFUSED


def run(arguments: Sequence[str], *, clock: Clock = system_clock) -> int:
    """Run one command line; returns its exit code. `arguments`: without the program's name. `clock`: the time in UTC."""
    target = Target(clock=clock)
    target.run = partial(run, clock=clock)
    try:
        result = command().main(args=list(arguments), prog_name="netbasis", standalone_mode=False, obj=target)
    except NetbasisError as error:
        _say(harmless(str(error)))
        return exit_code(error)
    except typer.TyperException as error:
        _say(_usage_message(error))
        return EXIT_USAGE
    except SystemExit as stopped:
        if isinstance(stopped.__context__, BrokenPipeError):  # raised by typer when nobody reads the help any more
            return 0
        raise
    except OSError as error:
        _say(harmless("; ".join([f"error[input_output_failed]: {error}", *_what_stays(target)])))
        return EXIT_STORAGE
    except KeyboardInterrupt:  # outside the code in which typer handles it
        result = EXIT_INTERRUPTED
    code = result if isinstance(result, int) else 0
    if code == EXIT_INTERRUPTED:
        return _stopped(target)
    if target.commits is not None and target.commits.last and answer_was_lost():
        _say(f"note: nobody reads the answer; {'; '.join(_what_stays(target))}")
    return code


def _usage_message(error: typer.TyperException) -> str:
    """What is wrong with the command line; for a group without a command, its commands."""
    message = error.format_message()
    if message.startswith("Usage:"):
        group = getattr(error, "ctx", None)
        assert group is not None
        commands = " or ".join(f"`{group.command_path} {name}`" for name in group.command.list_commands(group))
        return f"{message}\n\nerror[usage]: choose a command: {commands}"
    what = message.rstrip(".").replace("\n\t", " ")  # typer puts choices on separate lines
    return harmless(f"error[usage]: {what}; try `netbasis --help`")


def _stopped(target: Target) -> int:
    """Report that the command was stopped; returns the exit code."""
    number = signal_that_came()
    by = f" by {number.name}" if number else ""
    _say("; ".join([f"error[interrupted]: stopped{by} before the end", *_what_stays(target)]))
    return EXIT_BY_SIGNAL + number if number else EXIT_INTERRUPTED


def _what_stays(target: Target) -> list[str]:
    """What a writing command has left in the ledger, so that nobody repeats it; empty for a reading command."""
    if target.stays is not None:
        return [target.stays]
    commits = target.commits
    if commits is None:
        return []
    if commits.pending:
        place = _places(commits.pending)
        return [f"it is not known whether {place} was committed: look with `netbasis register` before you repeat it"]
    if not commits.last:
        return ["no event was written"]
    last = _places(commits.last)
    if commits.events == 1:
        return [f"{last} is committed: do not repeat it"]
    return [f"{commits.events} events are committed, the last of them {last}: do not repeat them"]


def _places(commits: list[Commit]) -> str:
    return " and ".join(_place(commit) for commit in commits)


def _place(commit: Commit) -> str:
    return f"version {commit.version} of the book {shown(commit.book)} (key {shown(commit.key)})"


def _say(line: str) -> None:
    """Print to stderr; a closed stderr is ignored."""
    with suppress(OSError):
        typer.echo(line, err=True)


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w")


def main() -> None:
    """The entry point of the script."""
    end_in_order()
    logging.getLogger().addHandler(logging.NullHandler())  # errors are raised; no library logs to stderr
    # A stream that the caller has closed is None; printing to it is ignored.
    if sys.stdout is None:
        lose_answers()
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for names that the terminal's encoding cannot show
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
