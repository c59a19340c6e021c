"""Reading tapes: both formats, compressed or not, and what is refused, with its line."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from engine.paper.tape import LINE_BYTES, Tick, read_tape
from ledger.errors import Refusal, Refused
from tests.engine.paper.paper_support import REAL_BOOK, REAL_TAPE, wandering, write_tape

NOON = "2026-01-05T12:00:00Z"
TRADES = f"at,price,size\n{NOON},1.33,10\n2026-01-05T12:00:01.5Z,1.3301,0.000001\n"


def ticks(path: Path) -> list[Tick]:
    """All rows of a tape."""
    return list(read_tape(path).ticks())


def test_a_tape_of_trades(tmp_path: Path) -> None:
    path = write_tape(tmp_path, TRADES)
    noon, price = datetime(2026, 1, 5, 12, tzinfo=UTC), Decimal("1.33")
    first, second = ticks(path)
    assert first == Tick(2, noon, price, price, price, Decimal(10))
    assert (second.row, second.mid, second.size) == (3, Decimal("1.3301"), Decimal("0.000001"))
    assert second.at == datetime(2026, 1, 5, 12, 0, 1, 500_000, tzinfo=UTC)


def test_a_tape_of_the_top_of_the_book(tmp_path: Path) -> None:
    """The mid is the middle; base is had at the ask and sold at the bid; there are no sizes."""
    (tick,) = ticks(write_tape(tmp_path, f"at,bid,ask\n{NOON},1.3299,1.3302\n"))
    assert (tick.mid, tick.sold_at, tick.bought_at) == (Decimal("1.33005"), Decimal("1.3302"), Decimal("1.3299"))
    assert tick.size is None


def test_a_middle_of_eighteen_decimals_is_rounded_to_even(tmp_path: Path) -> None:
    (tick,) = ticks(write_tape(tmp_path, f"at,bid,ask\n{NOON},1,1.000000000000000003\n"))
    assert tick.mid == Decimal("1.000000000000000002")


def test_a_price_keeps_its_digits(tmp_path: Path) -> None:
    (tick,) = ticks(write_tape(tmp_path, f"at,price,size\n{NOON},0.100000000000000005,181.1375018324144\n"))
    assert (tick.mid, tick.size) == (Decimal("0.100000000000000005"), Decimal("181.1375018324144"))


def test_the_hash_is_of_the_text_however_it_is_compressed(tmp_path: Path) -> None:
    plain = write_tape(tmp_path, TRADES)
    small, large = tmp_path / "a.csv", tmp_path / "b.csv.gz"  # what it is does not hang on the name
    small.write_bytes(gzip.compress(TRADES.encode(), 1))
    large.write_bytes(gzip.compress(TRADES.encode()[:40]) + gzip.compress(TRADES.encode()[40:]))  # two members
    expected = hashlib.sha256(TRADES.encode()).hexdigest()
    for path in (plain, small, large):
        tape = read_tape(path)
        assert (tape.sha256, tape.rows, tape.last_row) == (expected, 2, 3)
        assert list(tape.ticks()) == ticks(plain)


def test_another_text_has_another_hash(tmp_path: Path) -> None:
    """One digit, and one line end: who names events by the hash must not take the one for the other."""
    texts = (TRADES, TRADES.replace("1.3301", "1.3302"), TRADES.replace("\n", "\r\n"), TRADES + "\n")
    assert len({read_tape(write_tape(tmp_path, text)).sha256 for text in texts}) == len(texts)


def test_blank_lines_line_ends_quotes_zones_and_a_byte_order_mark_are_all_one(tmp_path: Path) -> None:
    text = f'\ufeffat, price ,size\r\n\r\n"{NOON}",1.33,10\r\n\r\n2026-01-05T14:00:01.5+02:00,1.3301,1e-6'
    found, plain = ticks(write_tape(tmp_path, text)), ticks(write_tape(tmp_path, TRADES, "plain.csv"))
    assert [tick.row for tick in found] == [3, 5]
    assert [tick[1:] for tick in found] == [tick[1:] for tick in plain]


def test_rows_of_the_same_time_keep_their_order(tmp_path: Path) -> None:
    rows = f"at,price,size\n{NOON},1,1\n{NOON},2,1\n{NOON},1,0\n"
    assert [tick.mid for tick in ticks(write_tape(tmp_path, rows))] == [1, 2, 1]


def test_what_is_added_to_the_file_afterwards_does_not_count(tmp_path: Path) -> None:
    path = write_tape(tmp_path, TRADES)
    tape = read_tape(path)
    before = list(tape.ticks())
    with path.open("a") as file:
        file.write(f"{NOON},rubbish\n")
    assert list(tape.ticks()) == before


def test_a_tape_that_became_shorter_is_refused(tmp_path: Path) -> None:
    tape = read_tape(write_tape(tmp_path, TRADES))
    write_tape(tmp_path, TRADES[: TRADES.rindex("2026")])
    with pytest.raises(Refused, match="tape_malformed"):
        list(tape.ticks())


ROW = f"at,price,size\n{NOON},1,1\n"


@pytest.mark.parametrize(
    ("text", "refusal", "line"),
    [
        ("", Refusal.TAPE_MALFORMED, 1),
        ("at,price\n", Refusal.TAPE_MALFORMED, 1),
        ("ts_ms,bid_px,bid_qty,ask_px,ask_qty\n", Refusal.TAPE_MALFORMED, 1),
        (f"{NOON},1,1\n", Refusal.TAPE_MALFORMED, 1),
        (ROW + f"{NOON},1\n", Refusal.TAPE_MALFORMED, 3),
        (ROW + f"{NOON},1,1,1\n", Refusal.TAPE_MALFORMED, 3),
        (ROW + "2026-01-05T11:59:59.999999Z,1,1\n", Refusal.TAPE_MALFORMED, 3),
        (ROW + "\n2026-01-05T12:00:00,1,1\n", Refusal.TIME_WITHOUT_ZONE, 4),
        (ROW + "1767614400000,1,1\n", Refusal.TIME_MALFORMED, 3),
        (ROW + f"{NOON},0,1\n", Refusal.PRICE_MUST_BE_POSITIVE, 3),
        (ROW + f"{NOON},-1,1\n", Refusal.PRICE_MUST_BE_POSITIVE, 3),
        (ROW + f"{NOON},,1\n", Refusal.AMOUNT_MALFORMED, 3),
        (ROW + f"{NOON},nan,1\n", Refusal.AMOUNT_MALFORMED, 3),
        (ROW + f"{NOON},1,\n", Refusal.AMOUNT_MALFORMED, 3),
        (ROW + f"{NOON},1,-0.1\n", Refusal.AMOUNT_MUST_NOT_BE_NEGATIVE, 3),
        (ROW + f"{NOON},1.0000000000000000000000000000000000001,1\n", Refusal.AMOUNT_TOO_PRECISE, 3),
        (f"at,bid,ask\n{NOON},1,1\n{NOON},1.1,1\n", Refusal.TAPE_MALFORMED, 3),
        (ROW + "x" * (LINE_BYTES + 1), Refusal.TAPE_MALFORMED, 3),
        (ROW + "\0\n", Refusal.TAPE_MALFORMED, 3),
    ],
)
def test_a_tape_is_refused_with_its_line(text: str, refusal: Refusal, line: int, tmp_path: Path) -> None:
    path = write_tape(tmp_path, text)
    with pytest.raises(Refused) as refused:
        read_tape(path)
    assert (refused.value.refusal, refused.value.where) == (refusal, f"'tape.csv' line {line}")


def test_a_tape_of_a_header_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="tape_malformed"):
        read_tape(write_tape(tmp_path, "at,price,size\n\n"))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tape.csv"
    path.write_bytes(ROW.encode() + b"\xff\xfe\n")
    with pytest.raises(Refused) as refused:
        read_tape(path)
    assert (refused.value.refusal, refused.value.where) == (Refusal.TAPE_MALFORMED, "'tape.csv' line 3")


@pytest.mark.parametrize(
    "damage",
    [
        lambda good: good[:-1],
        lambda good: good[: len(good) // 2],
        lambda good: good[:200] + bytes([good[200] ^ 0xFF]) + good[201:],
        lambda good: good[:-8] + b"\0\0\0\0" + good[-4:],  # the sum of the text
        lambda good: good + b"\x1f\x8brubbish",
        lambda good: good[:2],
    ],
)
def test_a_damaged_gzip_file_is_refused(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "tape.csv.gz"
    path.write_bytes(damage(gzip.compress(wandering(500).encode())))
    with pytest.raises(Refused) as refused:
        read_tape(path)
    assert refused.value.where is not None


def test_a_tape_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_tape(tmp_path / "no.csv")


@pytest.mark.skipif(not REAL_TAPE.exists(), reason="the real tape is not beside this checkout")
def test_a_real_tape_of_trades() -> None:
    tape = read_tape(REAL_TAPE)
    assert (tape.rows, tape.last_row) == (40_320, 40_321)
    assert next(tape.ticks()).mid == Decimal("0.3389")


@pytest.mark.skipif(not REAL_BOOK.exists(), reason="the real top of book is not beside this checkout")
def test_a_real_top_of_book(tmp_path: Path) -> None:
    """Its columns are the venue's, so they are renamed, and its milliseconds written as times."""
    lines = ["at,bid,ask"]
    for row in REAL_BOOK.read_text().splitlines()[1:]:
        milliseconds, bid, _, ask, _ = row.split(",")
        at = datetime.fromtimestamp(int(milliseconds) // 1000, UTC).replace(microsecond=int(milliseconds) % 1000 * 1000)
        lines.append(f"{at.isoformat()},{bid},{ask}")
    found = ticks(write_tape(tmp_path, "\n".join(lines)))
    assert len(found) == 50
    assert found[0].mid == Decimal("1.95315")
