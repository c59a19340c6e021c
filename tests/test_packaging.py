"""The built wheel runs without a checkout, in an environment that has what it says that it needs and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterable
from email import message_from_bytes
from importlib.metadata import Distribution, distribution, version
from pathlib import Path
from zipfile import ZipFile

from hatchling.build import build_wheel
from packaging.requirements import Requirement

from tests.cli_support import clean_environment
from tests.support import ROOT

PACKAGES = ("cli", "engine", "ledger", "migrations", "netbasis", "projections")
WHERE = f"import importlib.util as i, json; print(json.dumps([i.find_spec(name).origin for name in {PACKAGES}]))"
# Makes a ledger, by the migrations, and runs the demo, which runs most commands, `check` among them.
WORKS = (
    "import sys; from cli.main import run; sys.argv = ['netbasis']; "
    "print([run(words.split()) for words in ('--db x.db init', '--db x.db db history', 'demo')])"
)


def test_the_wheel_runs_from_an_empty_folder(tmp_path: Path) -> None:
    wheel = build(tmp_path / "dist")
    assert packaged(wheel) == files_of_the_packages()
    python = install(wheel, tmp_path / "environment")
    folder = tmp_path / "empty"
    folder.mkdir()
    script = python.with_name("netbasis")
    assert run(folder, script, "--version") == f"netbasis {version('netbasis')}\n"
    worked = run(folder, python, "-c", WORKS)
    assert worked.startswith("opened the book: main ")
    # The migrations travelled, and so did what makes the ledger out of them.
    assert " applied " in worked
    *_, hint, codes = worked.splitlines()
    assert ("netbasis --db" in hint, codes) == (True, "[0, 0, 0]")
    assert [path.name for path in folder.iterdir() if path.suffix == ".db"] == ["x.db"], (
        "the demo leaves the folder alone"
    )
    for file in json.loads(run(folder, python, "-c", WHERE)):
        assert Path(file).is_relative_to(tmp_path / "environment"), f"{file} is of the checkout"


def build(folder: Path) -> Path:
    """The wheel, built from the checkout by the build backend that is installed."""
    with contextlib.chdir(ROOT):
        return folder / build_wheel(str(folder))


def packaged(wheel: Path) -> set[str]:
    """The files in the wheel, without those about it."""
    with ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def files_of_the_packages() -> set[str]:
    """The files of the packages: every module, migration and marker of types."""
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in files if path.suffix not in (".pyc", ".swp")}


def install(wheel: Path, environment: Path) -> Path:
    """A fresh environment with the wheel and links to what it requires, and nothing else; its Python."""
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python, "--quiet", "--disable-pip-version-check"]
    command = [*pip, "install", "--no-compile", "--no-deps", "--no-index", wheel]
    done = subprocess.run(command, env=outer_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (packages,) = (environment / "lib").glob("python*/site-packages")
    with ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        needs = message_from_bytes(archive.read(metadata)).get_all("Requires-Dist", [])
    for found in required(needs):
        tops = {Path(file).parts[0] for file in found.files or () if ".." not in Path(file).parts}
        for top in tops - {"__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(str(found.locate_file(top)))
    return python


def required(needs: Iterable[str]) -> list[Distribution]:
    """The installed distributions that requirements name, with all that these require in turn; extras are left out."""
    found: dict[str, Distribution] = {}
    waiting = [(Requirement(need), "") for need in needs]
    while waiting:
        need, extra = waiting.pop()
        if need.marker is not None and not need.marker.evaluate({"extra": extra}):
            continue
        for wanted in ("", *need.extras):
            if f"{need.name}[{wanted}]" not in found:
                found[f"{need.name}[{wanted}]"] = distribution(need.name)
                waiting += [(Requirement(text), wanted) for text in found[f"{need.name}[{wanted}]"].requires or ()]
    return list(found.values())


def outer_environment() -> dict[str, str]:
    """What pip needs to know of where packages come from, without what would mix the checkout in."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NETBASIS_"))}


def run(folder: Path, *command: str | Path) -> str:
    """What a command prints, run in the folder; it must succeed and say nothing else."""
    done = subprocess.run(
        command, cwd=folder, env=clean_environment(folder), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout
