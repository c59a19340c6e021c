"""`netbasis import`: what venues, bots and older systems export becomes events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli.commands.import_legacy import EngineStartOption, LedgerKind, LedgerOption, MapOption, import_legacy_db
from cli.shared.ages import parse_age
from cli.shared.capital_options import DryRunOption
from cli.shared.moment import ZoneOption, zone_of
from cli.shared.options import Output, OutputOption, Target, target
from cli.shared.output import emit_report, print_lines, progress
from cli.shared.usage import WrongUsage

if TYPE_CHECKING:
    from engine.bookkeeper import Bookkeeper
    from engine.importers.importing import AnySource, ImportReport
    from engine.importers.items import QuarantinedRow, Settings
    from engine.importers.landing import Policy
    from ledger.database.faults import Access

LEGACY = "legacy-db"


class PriceFrom(StrEnum):
    """Where the prices of movements come from."""

    MARKS = "marks"
    FILLS = "fills"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="import")(import_)


def import_(
    context: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[KIND] FILE…", help="The kind of file, and the files; - is stdin.")
    ] = None,
    dry_run: DryRunOption = False,
    account: Annotated[
        str | None, typer.Option(metavar="ACCOUNT", help="xrpl: the account that the book keeps, r….")
    ] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=ASSET", help="Call an asset of the file NAME in the book: RLUSD=RLUSD.rMxCK…. Repeatable."
        ),
    ] = None,
    price_from: Annotated[
        PriceFrom | None,
        typer.Option(
            help="Decide movements at the newest marks, or also at fills against the numeraire; by default they wait."
        ),
    ] = None,
    max_mark_age: Annotated[str, typer.Option(metavar="AGE", help="How old such a price may be.")] = "1h",
    go_on: Annotated[
        bool,
        typer.Option("--pass", help="Go on past a movement that waits in the inbox, instead of holding rows back."),
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Everything goes in, or nothing.")] = False,
    batch: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Read a stream: commit every N rows as they arrive.")
    ] = None,
    mapping: Annotated[
        str | None, typer.Option(metavar="FILE", help="csv: the mapping file, which says what the columns are.")
    ] = None,
    learn: Annotated[bool, typer.Option("--learn", help="csv: propose a mapping for this file, and print it.")] = False,
    zone: ZoneOption = None,
    asset: Annotated[
        str | None, typer.Option(metavar="ASSET", help="candles: the asset that the prices are of.")
    ] = None,
    every: Annotated[
        str | None, typer.Option(metavar="AGE", help="candles: keep one price per span, such as 1h.")
    ] = None,
    length: Annotated[
        str | None, typer.Option(metavar="AGE", help="candles: how long a candle is; by default taken from the file.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The source: recorded with prices, and keeps the ids of several exchanges apart."
        ),
    ] = None,
    mapped: MapOption = None,
    engine_start: EngineStartOption = None,
    ledger: LedgerOption = LedgerKind.AUTO,
    output: OutputOption = Output.TEXT,
) -> None:
    """Import what venues, bots and older systems export: nothing dropped, nothing counted twice, nothing invented.

    Kinds: xrpl, kraken, binance, coinbase, hummingbot, freqtrade, ccxt, csv, candles, legacy-db; without one, it is
    recognised from the file. Importing a file again adds only what is new. What is not understood is quarantined with
    its line, the rest goes in, and the exit code is 1. A deposit without a price and a withdrawal that nobody has
    classified wait in the inbox.

    Example: netbasis --db live.db import kraken ledgers.csv trades.csv --price-from fills --dry-run
    """
    kind, names = _kind_and_files(words or [])
    if learn:
        _learn(kind, names)
        return
    if kind == LEGACY:
        _legacy(context, names, dry_run, mapped, engine_start, ledger, output)
        return
    if mapped or engine_start or ledger is not LedgerKind.AUTO:
        raise WrongUsage("--map, --engine-start and --ledger are for legacy-db")
    policy = _policy(price_from, max_mark_age, go_on=go_on, strict=strict, dry_run=dry_run)
    given = _ImportOptions(account, alias or [], mapping, asset, every, length, source)
    named = target(context)
    access: Access = "read" if dry_run else "write"
    with named.open(access, sound_file=True) as keeper:
        book = keeper.terms(named.book)
        settings = given.settings(book.numeraire, zone_of(named, zone), keeper.now)
        if batch is not None:
            done = _stream(keeper, book.name, kind, names, settings, policy, batch, output)
        else:
            found = _files(keeper, book.name, kind, names, settings, policy, named)
            if found is None:  # recognised as an older database
                keeper.close()
                _legacy(context, names, dry_run, mapped, engine_start, ledger, output)
                return
            done = found
            _print(output, done)
    if not done.is_whole:
        raise typer.Exit(1)


def _kind_and_files(words: list[str]) -> tuple[str | None, list[str]]:
    from engine.importers.kinds import kind_names

    kind = words[0] if words and words[0] in kind_names() else None
    names = words if kind is None else words[1:]
    if not names:
        raise WrongUsage(f"say which file: netbasis import KIND FILE…; kinds: {', '.join(kind_names())}")
    return kind, names


def _learn(kind: str | None, names: list[str]) -> None:
    from engine.importers.csv_learning import propose
    from engine.importers.importing import refusing_unreadable
    from engine.importers.sources import source_named

    if kind not in (None, "csv") or len(names) != 1:
        raise WrongUsage("--learn takes one CSV file: netbasis import csv --learn FILE > mapping.yaml")
    with refusing_unreadable():
        proposed = propose(source_named(names[0]))
    print_lines([proposed.rstrip("\n")])


def _legacy(
    context: typer.Context,
    names: list[str],
    dry_run: bool,
    mapped: list[str] | None,
    engine_start: str | None,
    ledger: LedgerKind,
    output: Output,
) -> None:
    if len(names) != 1:
        raise WrongUsage("legacy-db takes one file")
    import_legacy_db(context, names[0], dry_run, mapped, engine_start, ledger, output)


class _ImportOptions:
    """What the options say, before the book is known."""

    def __init__(
        self,
        account: str | None,
        aliases: list[str],
        mapping: str | None,
        asset: str | None,
        every: str | None,
        length: str | None,
        source: str | None,
    ) -> None:
        self._account = account
        self._aliases = dict(_alias(text) for text in aliases)
        self._mapping = mapping
        self._asset = asset
        self._every = None if every is None else _span("--every", every)
        self._length = None if length is None else _span("--length", length)
        self._source = source

    def settings(self, numeraire: str, zone: tzinfo | None, now: Callable[[], datetime]) -> Settings:
        """What a kind may ask of the command line."""
        from engine.importers.items import Settings

        return Settings(
            numeraire=numeraire,
            account=self._account,
            aliases=self._aliases,
            zone=zone,
            mapping=self._mapping,
            every=self._every,
            length=self._length,
            asset=self._asset,
            source=self._source,
        )


def _alias(text: str) -> tuple[str, str]:
    """The asset's name in the file, and its name in the book."""
    name, equals, asset = text.partition("=")
    if not (name and equals and asset):
        raise WrongUsage(f"--alias {text!r}: expected NAME=ASSET, such as RLUSD=RLUSD.rMxCK…")
    return asset, name


def _span(option: str, text: str) -> timedelta:
    span = parse_age(text)
    if not span:
        raise WrongUsage(f"{option} {text!r}: expected more than 0")
    return span


def _policy(price_from: PriceFrom | None, age: str, *, go_on: bool, strict: bool, dry_run: bool) -> Policy:
    from engine.importers.deciding import How
    from engine.importers.landing import Policy

    how = How(None if price_from is None else price_from.value, parse_age(age))
    return Policy(how, goes_on=go_on, is_strict=strict, is_dry=dry_run)


def _files(
    keeper: Bookkeeper, book: str, kind: str | None, names: list[str], settings: Settings, policy: Policy, named: Target
) -> ImportReport | None:
    """Import files; None when the one file is an older database, which is imported by other rules."""
    from engine.importers.importing import files_of, import_files, refusing_unreadable
    from engine.importers.sources import source_named

    with refusing_unreadable():
        sources: list[AnySource] = [source_named(name) for name in names]
    files = files_of(kind, sources)
    if any(each.kind.name == LEGACY for each in files):
        if len(names) > 1:
            raise WrongUsage("an older database is imported by itself: netbasis import legacy-db FILE")
        return None
    with progress("reading") as on_read, progress("importing") as on_progress:
        done = import_files(keeper, book, files, settings, policy, on_progress=on_progress, on_read=on_read)
    if done.is_written and done.added:
        named.stays = f"the imported events are committed, up to version {done.head.version}"
    return done


def _stream(
    keeper: Bookkeeper,
    book: str,
    kind: str | None,
    names: list[str],
    settings: Settings,
    policy: Policy,
    batch: int,
    output: Output,
) -> ImportReport:
    from engine.importers.importing import refusing_unreadable
    from engine.importers.kinds import kind_named
    from engine.importers.sources import StandardInput
    from engine.importers.streaming import import_stream

    if kind is None or names != ["-"] or policy.is_dry or policy.is_strict:
        raise WrongUsage("--batch reads a stream of a kind from stdin: netbasis import ccxt - --batch 1")
    with refusing_unreadable():
        source = StandardInput()
    told: set[QuarantinedRow] = set()

    def tell(done: ImportReport) -> None:
        """Print a batch, and what has been quarantined since the one before."""
        new = [each for each in done.quarantined if each not in told] if done.quarantine > len(told) else []
        told.update(new)
        _print_batch(output, done, new)

    return import_stream(
        keeper,
        book,
        kind_named(kind),
        source,
        settings,
        replace(policy, goes_on=True),
        batch=batch,
        on_batch=tell,
    )


def _print(output: Output, done: ImportReport) -> None:
    from engine.reports.imports import imports

    emit_report(output, imports(done))


def _print_batch(output: Output, done: ImportReport, quarantined: Sequence[QuarantinedRow]) -> None:
    from engine.reports.imports import batch

    if output is Output.TEXT:
        emit_report(output, batch(done, quarantined))
    else:
        _print(output, done)
