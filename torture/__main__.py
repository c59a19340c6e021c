"""`make torture`: kills, crashed servers, lost power, failing disks, racing writers, for as long as it is given.

    python -m torture [--minutes 60] [--seed N] [--only PART,…] [--commands NAME,…]

Prints its seed first and its figures last; exit 1 when something did not hold. A run with the same seed tries the same,
as far as the machine allows: what is tried, and when, is drawn from the seed; how much of it, the minutes decide. Tampering
is `python -m torture.tampering`.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random, SystemRandom

from ledger.errors import NetbasisError
from torture.figures import Figures


def _kills(engine: str) -> Callable[..., None]:
    def part(dice: Random, folder: Path, until: float, figures: Figures, commands: Sequence[str] = ()) -> None:
        from torture.kills import Killer, run

        run(Killer(dice, folder, engine), figures, until, commands)  # type: ignore[arg-type] # one of the two

    return part


def _servers(dice: Random, folder: Path, until: float, figures: Figures) -> None:
    from torture.servers import run

    run(dice, folder, until, figures)


def _power(dice: Random, folder: Path, until: float, figures: Figures) -> None:
    from torture.power import power_losses

    now = time.monotonic()
    for share, synchronous in ((0.6, "FULL"), (0.8, "NORMAL"), (1.0, "OFF")):
        losses = power_losses(dice, folder, now + share * (until - now), figures, synchronous)
        if synchronous == "OFF" and not losses:
            figures.broken.append("with synchronous off nothing was lost: the imagined disk proves nothing")


def _faults(dice: Random, folder: Path, until: float, figures: Figures) -> None:
    from torture.power import faults

    faults(dice, folder, until, figures)


def _isolation(dice: Random, folder: Path, until: float, figures: Figures) -> None:
    from torture.isolation import run

    run(dice, folder, until, figures)


# Each with its share of the time.
PARTS: dict[str, tuple[Callable[..., None], int]] = {
    "kills-sqlite": (_kills("sqlite"), 4),
    "kills-postgres": (_kills("postgres"), 2),
    "servers": (_servers, 1),
    "power": (_power, 2),
    "faults": (_faults, 1),
    "isolation": (_isolation, 2),
}


def require_known(parser: argparse.ArgumentParser, commands: Sequence[str]) -> None:
    """Ends the program when a command is none that is killed."""
    from torture.kills import SCENARIOS

    if unknown := [name for name in commands if name not in SCENARIOS]:
        parser.error(f"no such command: {unknown[0]!r}; there are {', '.join(SCENARIOS)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts, print what they counted; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--commands", default="", help="kill these only, such as seal,append")
    given = parser.parse_args(arguments)
    seed = SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    wanted = given.only.split(",")
    if unknown := [name for name in wanted if name not in PARTS]:
        parser.error(f"no such part: {unknown[0]!r}; there are {', '.join(PARTS)}")
    commands = given.commands.split(",") if given.commands else []
    require_known(parser, commands)
    more = f" --commands {given.commands}" if commands else ""
    shares = sum(PARTS[name][1] for name in wanted)
    print(
        f"seed {seed}; to repeat: python -m torture --minutes {given.minutes:g} --seed {seed} --only {given.only}{more}",
        flush=True,
    )
    figures = Figures()
    logging.getLogger().addHandler(logging.NullHandler())  # a pool logs what a failing disk does to it
    for name in wanted:
        part, share = PARTS[name]
        folder = Path(tempfile.mkdtemp(prefix=f"netbasis-torture-{name}-"))
        started = time.monotonic()
        until = started + given.minutes * 60 * share / shares
        try:
            own = {"commands": commands} if name.startswith("kills") else {}
            part(Random(f"{seed}-{name}"), folder, until, figures, **own)  # noqa: S311
        except (AssertionError, OSError, NetbasisError) as error:
            figures.broken.append(f"{name} ended with {type(error).__name__}: {error}")
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
    print(*figures.lines(), sep="\n")
    return 1 if figures.broken else 0


if __name__ == "__main__":
    sys.exit(main())
