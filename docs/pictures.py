"""The pictures of the page in the docs, made by `make docs` in a real Chromium; where there is none they stay as they are.

They show the paper session of `docs/paper-session.md` at a fixed time, so that they change only when the page does.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from cli.commands.config import read_config
from cli.main import run
from cli.page.application import application
from cli.page.gate import Rules
from cli.page.server import served
from cli.page.site import Site, SiteCache
from docs.browser import Browser, browser, why_not
from engine.bookkeeper import Bookkeeper
from engine.cost_basis import CostMethod

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
LEDGER = "paper.db"
NOW = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
COLOURS = 64
_DAY = "2026-01-05"
STORY = (
    "init --mode paper",
    f"append deposit --asset RLUSD --amount 85 --at {_DAY}T08:30:00Z --key open:1",
    f"append deposit --asset XRP --amount 39.27 --price 1.3314 --at {_DAY}T08:30:00Z --key open:2",
    "paper run --tape morning.csv --config {examples}/paper.yaml --session monday-am --log-level warning",
    f"inject --amount 50 --at {_DAY}T11:31:00Z --actor owner --tx-hash 5C1A",
    "paper run --tape afternoon.csv --config {examples}/paper.yaml --session monday-pm --log-level warning",
    f"withdraw --amount 20 --at {_DAY}T14:15:00Z --actor owner --tx-hash 5C1B",
)


def story(folder: Path) -> Path:
    """A ledger with a day of a paper session: two deposits, fills, an injection, a withdrawal."""
    tape = (ROOT / "examples" / "tape.csv").read_text("utf-8").splitlines(keepends=True)
    (folder / "morning.csv").write_text("".join(tape[:301]), "utf-8")
    (folder / "afternoon.csv").write_text("".join([tape[0], *tape[-300:]]), "utf-8")
    with chdir(folder), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for words in STORY:
            code = run(["--db", LEDGER, *words.format(examples=ROOT / "examples").split()], clock=lambda: NOW)
            assert code == 0, words
    return folder / LEDGER


@contextmanager
def shown(ledger: Path) -> Iterator[str]:
    """The page over a ledger at the fixed time; its address."""
    strategy = read_config(str(ROOT / "examples" / "paper.yaml"))
    with Bookkeeper.open(str(ledger), "read", clock=lambda: NOW) as keeper:
        site = Site(keeper.database, None, keeper.now, None, CostMethod(), strategy, print)
        kept = SiteCache(site)
        with served(application(site, kept, Rules.of((), None)), kept) as address:
            yield address


def pictures(tab: Browser, address: str) -> Iterator[tuple[str, bytes]]:
    """The name of each picture, and the picture. No hash is on any: those differ from run to run."""

    def is_checked() -> bool:
        tab.open(f"{address}/check")
        return "Everything holds" in tab.text()

    tab.until(is_checked, "the check")
    for name, path, width, height, dark in (
        ("overview", "/", 1200, 980, False),
        ("register", "/register?asset=RLUSD", 1200, 640, True),
        ("telephone", "/", 360, 760, True),
    ):
        tab.look(width=width, height=height, dark=dark)
        tab.open(address + path)
        yield name, tab.picture()


def main() -> None:
    """Make them anew."""
    reason = why_not()
    if reason is not None:
        print(f"the pictures of the page stay as they are: {reason}")  # noqa: T201 - it is a program
        return
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, browser(Path(folder)) as tab, shown(story(Path(folder))) as address:
        for name, picture in pictures(tab, address):
            # The page has few colours; with so many of them a picture takes a third of the bytes.
            few = Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            few.save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
