"""`netbasis serve`: a page over the ledger, for a browser."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Annotated

import typer

from cli.commands.config import read_config
from cli.shared.cost_options import FeesOption, FeesView, MethodOption, cost_method
from cli.shared.moment import ZoneOption, zone_of
from cli.shared.options import target
from cli.shared.output import harmless
from cli.shared.usage import WrongUsage
from cli.shared.web import extra_missing

PORT = 8750
TOKEN_CHARACTERS = 16
# The names that only this machine has.
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - to tell it, not to listen there


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The address to listen on; any but loopback needs --token-file.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for any that is free.")] = PORT,
    token_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A file with a token of 16 characters or more, which is then demanded as a password or Bearer header.",
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A further host name that the page answers to, such as that of a proxy; only with --token-file.",
        ),
    ] = None,
    config: Annotated[
        str | None, typer.Option(metavar="FILE", help="A strategy's configuration, whose exposure limit is shown.")
    ] = None,
    method: MethodOption = None,
    fees: FeesOption = FeesView.APART,
    zone: ZoneOption = None,
) -> None:
    """Show the ledger in a browser: figures, chart, register, events, lots, gains; it reads, and never writes.

    It shows all books unless --book names one, and new events appear by themselves. It runs a check when it starts and
    every hour. /metrics has the figures for Prometheus. It listens on this machine only, unless --host says otherwise. It
    needs the extra web: pip install 'netbasis[web]'. Ctrl-C ends it.

    Example: netbasis --db live.db serve
    """
    try:
        from cli.page.application import application
        from cli.page.gate import Rules
        from cli.page.server import Server
        from cli.page.site import Site, SiteCache
    except ModuleNotFoundError as error:
        raise extra_missing("serve", error) from error
    named = target(context)
    token = _token(token_file)
    names = [host, *(name or [])] if host not in _EVERYWHERE else list(name or [])
    if token is None and any(each.lower() not in _LOOPBACK for each in [host, *names]):
        raise WrongUsage("others could read the ledger there: give --token-file, or leave out --host and --name")
    strategy = None if config is None else read_config(config)
    how = cost_method(named, method, fees)
    with named.open("read") as keeper, _listening(host, port) as listener:
        book = None if named.book is None else keeper.resolve(named.book)
        days = zone_of(named, zone)
        site = Site(keeper.database, book, keeper.now, days, how, strategy, _say)
        kept = SiteCache(site)
        typer.echo(f"the page is at {_address(listener, names)}; Ctrl-C ends it")
        with suppress(KeyboardInterrupt):  # this is how one ends it
            Server(application(site, kept, Rules.of(names, token)), kept).run(sockets=[listener])


def _token(file: str | None) -> str | None:
    """The secret in a file. Raises WrongUsage for a file that cannot be read, or a secret that can be guessed."""
    if file is None:
        return None
    try:
        with open(file, encoding="ascii") as opened:  # noqa: PTH123 - a path may be /dev/fd/3
            token = opened.read(4_096).strip()
    except (OSError, ValueError) as error:
        raise WrongUsage(f"--token-file {file!r} cannot be read: {error}") from error
    if len(token) < TOKEN_CHARACTERS or not token.isprintable() or " " in token:
        raise WrongUsage(
            f"--token-file {file!r}: expected {TOKEN_CHARACTERS} characters or more of ASCII, without blanks; "
            "such as `openssl rand -hex 32` prints"
        )
    return token


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises OSError, saying where."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise OSError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; choose others with --host, --port"
        ) from error


def _address(listener: socket.socket, names: list[str]) -> str:
    """Where to look at it: where it listens, or, when that is everywhere, a name that it answers to."""
    host, port, *_ = listener.getsockname()
    if host in _EVERYWHERE:
        host = names[0] if names else "localhost"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _say(text: str) -> None:
    typer.echo(harmless(text) if "\n" not in text else text, err=True)
