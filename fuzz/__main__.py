"""`make fuzz`: every target under atheris, a million executions in all, or a share of them.

    python -m fuzz [--share 0.1] [--seed N] [--only TARGET,…]

Each target runs in a process of its own, from its small corpus in `tests/fuzz/corpus/`. What breaks is written to
`fuzz-findings/`: fix the program, and put the input into the corpus, which `make test` replays. Exit 1 when something broke.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
FINDINGS = ROOT / "fuzz-findings"
INSTRUMENTED = ["cli", "engine", "fuzz", "ledger", "projections"]


def _child(name: str, arguments: list[str]) -> None:
    """Fuzz one target in this process; does not return."""
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore] # in the environment of `make fuzz` only

    with atheris.instrument_imports(include=INSTRUMENTED):  # this program's own code, not all that it uses
        from fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name].read)
    atheris.Fuzz()


def run(name: str, runs: int, seed: int) -> tuple[int, float, str]:
    """Fuzz a target in a process of its own; how many executions it made, in how many seconds, and what broke."""
    from fuzz.targets import TARGETS

    FINDINGS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as grown:  # what the fuzzer adds; the corpus of the tests stays small
        words = [
            f"-runs={runs}",
            f"-seed={seed}",
            f"-max_len={TARGETS[name].most}",
            "-timeout=30",
            "-rss_limit_mb=4096",
        ]
        words += [f"-artifact_prefix={FINDINGS}/{name}-", grown, str(CORPUS / name)]
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "fuzz", "--child", name, *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    made = re.findall(r"Done (\d+) runs|stat::number_of_executed_units: (\d+)|#(\d+)", done.stderr)
    executions = max((int(number) for found in made for number in found if number), default=0)
    return executions, time.monotonic() - started, "" if done.returncode == 0 else done.stderr[-3000:]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the targets, print the figures; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["--child"]:
        _child(given[1], given[2:])
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default=",".join(TARGETS))
    options = parser.parse_args(given)
    names = options.only.split(",")
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"no such target: {unknown[0]!r}; there are {', '.join(TARGETS)}")
    total = broken = 0
    for name in names:
        executions, seconds, wrong = run(name, max(1, int(TARGETS[name].runs * options.share)), options.seed)
        total += executions
        broken += bool(wrong)
        print(
            f"{name:<12}{executions:>10} executions {seconds:>8.0f} s  {'BROKEN' if wrong else 'nothing broke'}",
            flush=True,
        )
        if wrong:
            print(wrong)
    print(f"{total} executions; {broken} targets broke; repeat with --seed {options.seed}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
