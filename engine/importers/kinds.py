"""The kinds of files that can be imported: their dispatch table, and finding out which kind a file is.

A kind's module is imported only when it is used. A third party adds a kind through an entry point of the group
`netbasis.importers`, whose name is the kind's and whose object is its `Kind` (or a module that has it as `KIND`):

    [project.entry-points."netbasis.importers"]
    my-venue = "my_package.importer:KIND"
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from engine.importers.items import Kind, Sample
from ledger.errors import Refusal, Refused, shown

GROUP = "netbasis.importers"
LEGACY = "legacy-db"

# In the order of the help.
MODULES: Mapping[str, str] = {
    "ccxt": "engine.importers.ccxt",
    "xrpl": "engine.importers.venues.xrpl",
    "kraken": "engine.importers.venues.kraken",
    "binance": "engine.importers.venues.binance",
    "coinbase": "engine.importers.venues.coinbase",
    "hummingbot": "engine.importers.venues.hummingbot",
    "freqtrade": "engine.importers.venues.freqtrade",
    "csv": "engine.importers.csv_files",
    "candles": "engine.importers.candles",
    LEGACY: "engine.importers.legacy.kind",
}


def kind_names() -> list[str]:
    """The names of all kinds, those of third parties last."""
    return [*MODULES, *(name for name in sorted(_third_party()) if name not in MODULES)]


def kind_named(name: str) -> Kind:
    """The kind of a name. Raises Refused `kind_unknown`, also for a third party's that cannot be loaded."""
    if name in MODULES:
        found = import_module(MODULES[name]).KIND
        assert isinstance(found, Kind)
        return found
    point = _third_party().get(name)
    if point is None:
        raise Refused(
            Refusal.KIND_UNKNOWN,
            "there is no such kind of file",
            expected=f"one of {', '.join(kind_names())}",
            actual=name,
        )
    return _loaded(point)


def kind_of(sample: Sample) -> Kind:
    """The kind that a file is of. Raises Refused `kind_unknown` when none or several recognise it."""
    found = [kind for name in kind_names() if (kind := kind_named(name)).recognises(sample)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(kind.name for kind in found)
    what = (
        f"{shown(sample.name)} could be of several kinds: {names}"
        if found
        else f"it is not clear what {shown(sample.name)} is"
    )
    raise Refused(
        Refusal.KIND_UNKNOWN,
        what,
        expected=f"one of {', '.join(kind_names())}",
        advice="name the kind before the file: netbasis import KIND FILE",
    )


def _third_party() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _loaded(point: EntryPoint) -> Kind:
    try:
        found = point.load()
    except Exception as error:
        raise _not_a_kind(point, f"it cannot be loaded: {error}") from error
    kind = getattr(found, "KIND", found)
    if not isinstance(kind, Kind):
        raise _not_a_kind(point, "it is no engine.importers.items.Kind")
    if kind.name != point.name:
        raise _not_a_kind(point, f"it calls itself {shown(kind.name)}")
    return kind


def _not_a_kind(point: EntryPoint, why: str) -> Refused:
    return Refused(
        Refusal.KIND_UNKNOWN,
        f"the kind {shown(point.name)} of another package cannot be used: {why}",
        expected="a Kind",
        actual=point.value,
        advice="update or remove that package",
    )
