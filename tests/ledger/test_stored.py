"""The stored form, frozen: the bytes and hashes of chains with every event type, as they must stay.

`FIRST` is a chain in the first form of each type, as ledgers have it that were begun with the first release; it must be
read, and is no longer written. `NEWEST` (`golden_newest.json`) is what is written now. A test that fails here after a
change of the code says that ledgers which people keep can no longer be proved. A new form of a type gets a new type version
beside the old one; it never changes these bytes.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from decimal import ROUND_UP, Context, Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bookkeeper import Bookkeeper
from ledger.amounts import amount_text, negate
from ledger.errors import Refused, StorageError, StorageFault
from ledger.events import EVENT_TYPES, TRANSFER, Deposit, Event, Opened, Withdrawal
from ledger.stored import StoredEvent, chain_hash, decode_body, encode_body, json_value
from ledger.times import parse_time, time_text
from tests.support import BOOK, SMALLEST, START, SequentialIds, TickingClock, event, ledger_file, log_of

# ---- the golden chains

# What is given, the body that it becomes, and its hash. Clock and ids are fixed; whatever can be left out is, somewhere.
FIRST: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "opened",
        {
            "mode": "live",
            "numeraire": "RLUSD",
            "base_asset": "XRP",
            "withdrawal_policy": "profit_first/1",
            "at": "2026-01-01T00:00:00Z",
            "actor": "owner",
        },
        '{"actor":"owner","at":"2026-01-01T00:00:00.000000Z","base_asset":"XRP","book":"main"'
        ',"event_id":"00000000-0000-4000-8000-000000000001","key":"opened","mode":"live"'
        ',"numeraire":"RLUSD","recorded_at":"2026-01-05T09:00:00.000000Z","type":"opened/1","version":1'
        ',"withdrawal_policy":"profit_first/1"}',
        "2f3b9196180f1e1b742511cfd8ade085ca1e70348ad6aa1229f5751c229a7460",
    ),
    (
        "deposit",
        {
            "asset": "XRP",
            "amount": "39.270",
            "price": "1.3314",
            "basis_unknown": True,
            "at": "2025-12-31T23:59:59.5+01:00",
            "key": "rHb9:deposit:XRP",
            "tx_hash": "E3FE6EA3D48F0C2B639448020EA4F03D4F4F8FFDB243A852A0F59177921B4879",
            "source_note": 'vor der Buchführung – “as is” \\ "€" 💶',
        },
        '{"amount":"39.27","asset":"XRP","at":"2025-12-31T22:59:59.500000Z","basis_unknown":true'
        ',"book":"main","event_id":"00000000-0000-4000-8000-000000000002","key":"rHb9:deposit:XRP"'
        ',"price":"1.3314","recorded_at":"2026-01-05T09:00:00.000000Z"'
        ',"source_note":"vor der Buchführung – “as is” \\\\ \\"€\\" 💶"'
        ',"tx_hash":"E3FE6EA3D48F0C2B639448020EA4F03D4F4F8FFDB243A852A0F59177921B4879","type":"deposit/1"'
        ',"version":2}',
        "c6b2d360aaace5ee3b0ceca8501eab58d106bd8be0a6465c5a1c642f441251b9",
    ),
    (
        "deposit",
        {"asset": "RLUSD", "amount": "85.00", "key": "rHb9:deposit:RLUSD"},
        '{"amount":"85","asset":"RLUSD","at":"2026-01-05T09:00:00.000000Z","basis_delta":"85"'
        ',"basis_unknown":false,"book":"main","event_id":"00000000-0000-4000-8000-000000000003"'
        ',"key":"rHb9:deposit:RLUSD","recorded_at":"2026-01-05T09:00:00.000000Z","type":"deposit/1"'
        ',"version":3}',
        "1de1ddaa2035bad35b9651422e99caa3972eb01f1df0078f75614693b79c6155",
    ),
    (
        "fill",
        {
            "side": "buy",
            "base_asset": "XRP",
            "base_amount": "11.27",
            "quote_asset": "RLUSD",
            "quote_amount": "15.00",
            "fee_asset": "XRP",
            "fee_amount": "-0.000012",
            "order_id": "4711",
            "liquidity": "maker",
            "session_id": "live-1",
            "key": "venue:1",
            "at": "2026-01-05T08:00:00Z",
        },
        '{"at":"2026-01-05T08:00:00.000000Z","base_amount":"11.27","base_asset":"XRP","book":"main"'
        ',"event_id":"00000000-0000-4000-8000-000000000004","fee_amount":"-0.000012","fee_asset":"XRP"'
        ',"key":"venue:1","liquidity":"maker","order_id":"4711","quote_amount":"15","quote_asset":"RLUSD"'
        ',"recorded_at":"2026-01-05T09:00:00.000000Z","session_id":"live-1","side":"buy","type":"fill/1"'
        ',"version":4}',
        "7b661389ca78c39f28c8299edd166f058ecea8ba76e08d4808e0ad84a1937a20",
    ),
    (
        "basis_commit",
        {"basis_delta": "137.284078", "key": "synthetic_initial_basis", "actor": "owner"},
        '{"actor":"owner","amount":"137.284078","asset":"RLUSD","at":"2026-01-05T09:00:00.000000Z"'
        ',"basis_delta":"137.284078","book":"main","event_id":"00000000-0000-4000-8000-000000000005"'
        ',"key":"synthetic_initial_basis","recorded_at":"2026-01-05T09:00:00.000000Z"'
        ',"type":"basis_commit/1","version":5}',
        "04da65ab8312a58216453646079c42912cfa31b889c82bfcb2cb7dcb3d997071",
    ),
    (
        "mark",
        {"asset": "XRP", "price": "1.4", "price_source": "venue", "at": "2026-01-05T09:00:00Z", "key": "m1"},
        '{"asset":"XRP","at":"2026-01-05T09:00:00.000000Z","book":"main"'
        ',"event_id":"00000000-0000-4000-8000-000000000006","key":"m1","price":"1.4"'
        ',"price_source":"venue","recorded_at":"2026-01-05T09:00:00.000000Z","type":"mark/1","version":6}',
        "d39c9ccc486c6a73165c09f78d457f95fa5a1b5a9fc63159e145113f706ad174",
    ),
    (
        "withdrawal",
        {
            "asset": "RLUSD",
            "amount": "20",
            "basis_delta": "-20",
            "key": "w1",
            "actor": "owner",
            "evidence": {
                "equity_before": "140.7560168",
                "basis_before": "222.284078",
                "profit": "0",
                "principal": "20",
                "marks": [{"asset": "XRP", "price": "1.40", "source": "venue", "at": "2026-01-05T09:00:00Z"}],
                "policy": "profit_first/1",
            },
        },
        '{"actor":"owner","amount":"20","asset":"RLUSD","at":"2026-01-05T09:00:00.000000Z"'
        ',"basis_delta":"-20","book":"main","event_id":"00000000-0000-4000-8000-000000000007"'
        ',"evidence":{"basis_before":"222.284078","equity_before":"140.7560168","marks":[{"asset":"XRP"'
        ',"at":"2026-01-05T09:00:00.000000Z","price":"1.4","source":"venue"}],"policy":"profit_first/1"'
        ',"principal":"20","profit":"0"},"key":"w1","recorded_at":"2026-01-05T09:00:00.000000Z"'
        ',"type":"withdrawal/1","version":7}',
        "f44a1101485b1e3899ef96ec98fbf1f64601df6de7ea8eefca5787f4134d5294",
    ),
    (
        "adjustment",
        {"asset": "XRP", "amount": "-12e-6", "reason": "network_fee"},
        '{"amount":"-0.000012","asset":"XRP","at":"2026-01-05T09:00:00.000000Z","book":"main"'
        ',"event_id":"00000000-0000-4000-8000-000000000008","key":"00000000-0000-4000-8000-000000000008"'
        ',"reason":"network_fee","recorded_at":"2026-01-05T09:00:00.000000Z","type":"adjustment/1"'
        ',"version":8}',
        "30c4defcccbd73ca7acd6f403775cb3abf881f40ba8e6834b15ca35cf5ab7da3",
    ),
    (
        "baseline",
        {"starting_value": "137.284078", "reason": "as the engine has it"},
        '{"at":"2026-01-05T09:00:00.000000Z","book":"main"'
        ',"event_id":"00000000-0000-4000-8000-000000000009","key":"00000000-0000-4000-8000-000000000009"'
        ',"reason":"as the engine has it","recorded_at":"2026-01-05T09:00:00.000000Z"'
        ',"starting_value":"137.284078","type":"baseline/1","version":9}',
        "5e879ecce4762913a799d742c3edb4c1d1878f8b48dd81b79499519e1ec2f10a",
    ),
    (
        "reversal",
        {"reverses": 4, "reason": "busted trade"},
        '{"at":"2026-01-05T08:00:00.000000Z","book":"main"'
        ',"event_id":"00000000-0000-4000-8000-000000000010","key":"00000000-0000-4000-8000-000000000010"'
        ',"reason":"busted trade","recorded_at":"2026-01-05T09:00:00.000000Z","reverses":4'
        ',"type":"reversal/1","version":10}',
        "e55a36bf3f92d12e5ebcc921ca4e58e173e90b0288624f9d6d12ac6e8715b680",
    ),
    (
        "fill",
        {
            "side": "sell",
            "base_asset": "XRP",
            "base_amount": "1",
            "quote_asset": "RLUSD",
            "quote_amount": "1.33",
            "corrects": 4,
        },
        '{"at":"2026-01-05T09:00:00.000000Z","base_amount":"1","base_asset":"XRP","book":"main"'
        ',"corrects":4,"event_id":"00000000-0000-4000-8000-000000000011","key":"venue:1#2"'
        ',"quote_amount":"1.33","quote_asset":"RLUSD","recorded_at":"2026-01-05T09:00:00.000000Z"'
        ',"side":"sell","type":"fill/1","version":11}',
        "3e1245ff2a314056f2cf8abf39f1fb83d62dd07990d9f4576e2d7926d7740bbb",
    ),
]


Chain = list[tuple[str, dict[str, Any], str, str]]
NEWEST: Chain = [
    (line["kind"], line["fields"], line["body"], line["hash"])
    for line in json.loads(Path(__file__).with_name("golden_newest.json").read_text("utf-8"))
]


@pytest.fixture
def golden_log(tmp_path: Path) -> list[StoredEvent]:
    """What the golden inputs are recorded as."""
    return record_golden(tmp_path)


def record_golden(tmp_path: Path) -> list[StoredEvent]:
    """Record the golden inputs in a new ledger, and read them back."""
    clock, ids, aside = TickingClock(step=timedelta(0)), SequentialIds(), SequentialIds()
    is_aside = False

    def new_id() -> str:
        return f"other-{aside()}" if is_aside else ids()

    with Bookkeeper.open(str(ledger_file(tmp_path)), clock=clock, new_id=new_id) as keeper:
        for kind, fields, _, _ in NEWEST:
            made = event(kind, **fields)
            if isinstance(made, Opened):
                keeper.open_book(BOOK, made)
                is_aside = True
                keeper.open_book("other", made)
                is_aside = False
                continue
            with keeper.transactions(BOOK, "other") as (golden, other):
                stored = golden.append(made).stored
                is_aside = True
                if stored.reason == TRANSFER:
                    other.append(other_side(stored))
                is_aside = False
        return log_of(keeper)


def other_side(stored: StoredEvent) -> Event:
    """What stands in the other book beside a side of a transfer."""
    made = stored.event
    assert isinstance(made, Deposit | Withdrawal)
    kind = "withdrawal" if made.kind == "deposit" else "deposit"
    basis = negate(stored.effects.basis_delta)
    side = {"id": made.key, "book": BOOK}
    return event(
        kind, asset=made.asset, amount=made.amount, price=made.price, basis_delta=basis, key=made.key, transfer=side
    )


def test_bodies_and_hashes_are_what_they_always_were(golden_log: list[StoredEvent]) -> None:
    """The one test that no change of the code may change."""
    for stored, (_, _, body, digest) in zip(golden_log, NEWEST, strict=True):
        assert stored.body == body.encode("utf-8")
        assert stored.hash.hex() == digest


def test_the_callers_decimal_context_does_not_reach_the_bytes(tmp_path: Path) -> None:
    """In a context of two digits, in which every signal is an exception."""
    with localcontext(Context(prec=2, rounding=ROUND_UP)) as context:
        for signal in context.traps:
            context.traps[signal] = True
        before = repr(context)
        log = record_golden(tmp_path)
        assert repr(context) == before
    assert [stored.body.decode("utf-8") for stored in log] == [body for _, _, body, _ in NEWEST]


@pytest.mark.parametrize("chain", [FIRST, NEWEST], ids=["first", "newest"])
def test_the_golden_chains_have_every_event_type(chain: Chain) -> None:
    assert {kind for kind, _, _, _ in chain} == set(EVENT_TYPES)


def test_the_first_chain_is_in_the_first_forms_and_the_newest_in_the_newest() -> None:
    assert {json.loads(body)["type"] for _, _, body, _ in FIRST} == {f"{kind}/1" for kind in EVENT_TYPES}
    newest = {f"{kind}/{model.TYPE_VERSION}" for kind, model in EVENT_TYPES.items()}
    assert {json.loads(body)["type"] for _, _, body, _ in NEWEST} == newest


def test_the_golden_chain_uses_every_field_of_every_type() -> None:
    """So that no field's name or form changes unnoticed: each stands in some body, but for those that must be absent."""
    used = {(kind, name) for kind, _, body, _ in NEWEST for name in json.loads(body)}
    common = set(Event.model_fields)
    missing = {
        (kind, name)
        for kind, model in EVENT_TYPES.items()
        for name in model.model_fields
        if (kind, name) not in used and name not in common
    }
    assert missing == {("basis_commit", "price")}
    assert common <= {name for _, name in used}


@pytest.mark.parametrize("chain", [FIRST, NEWEST], ids=["first", "newest"])
def test_each_hash_follows_from_the_bytes_and_the_hash_before(chain: Chain) -> None:
    """Computed here with nothing but the definition, from 32 zero bytes."""
    previous = bytes(32)
    for _, _, body, digest in chain:
        previous = hashlib.sha256(previous + body.encode("utf-8")).digest()
        assert previous.hex() == digest


def test_the_chains_hash_joins_predecessor_and_body_in_this_order() -> None:
    """SHA-256("abc"), the example of FIPS 180-2."""
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert chain_hash(b"a", b"bc").hex() == known
    assert chain_hash(b"ab", b"c").hex() == known


@pytest.mark.parametrize("chain", [FIRST, NEWEST], ids=["first", "newest"])
def test_golden_bodies_are_read_back_as_the_events_that_were_given(chain: Chain) -> None:
    for version, (kind, fields, body, _) in enumerate(chain, 1):
        sealed = decode_body(body.encode("utf-8"))
        assert (sealed.book, sealed.version, sealed.recorded_at) == (BOOK, version, START)
        assert sealed.event_id == f"00000000-0000-4000-8000-{version:012d}"
        made = event(kind, **fields)
        for name in made.model_fields_set:
            assert getattr(sealed.event, name) == getattr(made, name), (kind, name)


def test_a_stored_event_gives_its_event(golden_log: list[StoredEvent]) -> None:
    for stored in golden_log:
        made = stored.event
        assert (made.kind, made.key, made.at, made.session_id) == (
            stored.type,
            stored.key,
            stored.at,
            stored.session_id,
        )


# ---- any event

_UNIT = 10**36
_texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)
_some = _texts.filter(bool)
_assets = st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"], exclude_characters="="), min_size=1, max_size=8)
_amounts = st.integers(-(10**56) + 1, 10**56 - 1).map(
    lambda count: f"{'-' if count < 0 else ''}{abs(count) // _UNIT}.{abs(count) % _UNIT:036d}"
)
_positive = _amounts.map(lambda text: text.removeprefix("-")).filter(lambda text: text.strip("0") != ".")
_not_negative = _amounts.map(lambda text: text.removeprefix("-"))
_offsets = st.sampled_from(["Z", "+00:00", "-11:30", "+05:45"])
_times = st.builds(
    lambda time, offset: time.isoformat() + offset, st.datetimes(START.replace(year=2, tzinfo=None)), _offsets
).filter(lambda text: not text.startswith("9999-12-31"))
_versions = st.integers(1, 2**53 - 1)
_marks = st.lists(
    st.fixed_dictionaries({"asset": _assets, "price": _positive, "at": _times}, optional={"source": _texts}),
    max_size=4,
    unique_by=lambda mark: str(mark["asset"]),
)
_evidence = st.fixed_dictionaries(
    {
        "equity_before": _amounts,
        "basis_before": _amounts,
        "profit": _not_negative,
        "principal": _not_negative,
        "marks": _marks,
        "policy": _some,
    }
)
_BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "at": _times,
    "corrects": _versions,
    "reverses": _versions,
    "mode": st.sampled_from(["live", "paper"]),
    "side": st.sampled_from(["buy", "sell"]),
    "liquidity": st.sampled_from(["maker", "taker"]),
    "basis_unknown": st.booleans(),
    "evidence": _evidence,
    "transfer": st.fixed_dictionaries({"id": _some, "book": _some}),
    "tags": st.lists(_some, min_size=1, max_size=4),
    "price": _positive,
    "base_amount": _positive,
    "quote_amount": _positive,
    "fee_amount": _amounts,
    "basis_delta": _amounts,
    "starting_value": _amounts,
    "amount": _positive,
    **dict.fromkeys(["asset", "base_asset", "quote_asset", "fee_asset", "numeraire"], _assets),
    **dict.fromkeys(["key", "withdrawal_policy"], _some),
}


def _events_of(kind: str) -> st.SearchStrategy[Event]:
    """Events of a type with any values that its fields take by themselves; the log's rules are not asked."""
    fields = EVENT_TYPES[kind].model_fields
    strategies = {name: _BY_NAME.get(name, _some) for name in fields if name not in ("type", "book")}
    # Whatever a person need not give, a log has: when it was recorded, `at` and `key` were filled in.
    required = [name for name in strategies if fields[name].is_required() or name in ("at", "key")]
    return st.fixed_dictionaries(
        {name: strategies[name] for name in required},
        optional={name: strategy for name, strategy in strategies.items() if name not in required},
    ).map(lambda given: event(kind, **given))


_any_event = st.sampled_from(sorted(EVENT_TYPES)).flatmap(_events_of)


def seal(made: Event) -> bytes:
    """The body of an event as version 7 of the book `main`."""
    return encode_body(made, book=BOOK, version=7, event_id="id-7", recorded_at=START)


@given(_any_event)
def test_a_body_is_read_back_as_the_same_event(made: Event) -> None:
    sealed = decode_body(seal(made))
    assert (sealed.book, sealed.version, sealed.event_id, sealed.recorded_at) == (BOOK, 7, "id-7", START)
    assert sealed.event == made.model_copy(update={"book": BOOK})
    assert seal(sealed.event) == seal(made)


@given(_any_event)
def test_a_body_is_canonical_json(made: Event) -> None:
    """RFC 8785, for objects with ASCII names: another writer of sorted JSON without blanks gives the same bytes."""
    body = seal(made)
    fields = json.loads(body)
    assert body == json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    _assert_plain(fields)
    assert fields["type"] == f"{made.kind}/{made.TYPE_VERSION}"


def _assert_plain(value: object) -> None:
    """ASCII names; only texts, truth values and whole numbers below 2^53; no null."""
    if isinstance(value, dict):
        for name, inner in value.items():
            assert name.isascii()
            _assert_plain(inner)
    elif isinstance(value, list):
        for inner in value:
            _assert_plain(inner)
    else:
        assert isinstance(value, str | bool | int)
        assert isinstance(value, str | bool) or abs(value) < 2**53


@pytest.mark.parametrize("kind", sorted(EVENT_TYPES.keys() - {"opened"}))
def test_equal_events_have_equal_bytes_however_they_were_spelled(kind: str) -> None:
    fields: dict[str, Any] = {**SMALLEST[kind], "key": "k", "at": "2026-01-31T14:30:00Z"}
    spelled: dict[str, Any] = {name: _spelled(text) for name, text in reversed(fields.items())}
    spelled |= {"at": "2026-01-31 15:30:00.000000+01:00", "source_note": None}
    assert seal(event(kind, **spelled)) == seal(event(kind, **fields))


def _spelled(text: object) -> object:
    """An amount with more zeros and an exponent; anything else as it is."""
    try:
        number = Decimal(str(text)) if isinstance(text, str) else None
    except ArithmeticError:
        return text
    return text if number is None else f"{amount_text(number)}{'' if '.' in str(text) else '.'}00e0"


@given(st.permutations(["BTC", "ETH", "XRP", "\u00c4"]))
def test_the_order_in_which_marks_were_given_does_not_matter(assets: list[str]) -> None:
    marks = [{"asset": asset, "price": "1", "at": "2026-01-31T14:30:00Z"} for asset in assets]
    evidence = {
        "equity_before": "0",
        "basis_before": "0",
        "profit": "0",
        "principal": "0",
        "policy": "p",
        "marks": marks,
    }
    body = seal(event("withdrawal", **SMALLEST["withdrawal"], key="k", at="2026-01-31T14:30:00Z", evidence=evidence))
    assert [mark["asset"] for mark in json.loads(body)["evidence"]["marks"]] == sorted(assets)


# ---- bytes that nobody may have written

_BODY = FIRST[-1][2]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        "[]",
        "null",
        '"fill"',
        _BODY[:-1],
        _BODY + "}",
        _BODY.replace("fill/1", "fill/3"),
        _BODY.replace("fill/1", "fill/0"),
        _BODY.replace("fill/1", "fill/01"),
        _BODY.replace("fill/1", "fill"),
        _BODY.replace("fill/1", "/1"),
        _BODY.replace("fill/1", "transfer/1"),
        _BODY.replace('"fill/1"', "1"),
        _BODY.replace('"fill/1"', "null"),
        _BODY.replace('"type":"fill/1",', ""),
        _BODY.replace('"book":"main",', ""),
        _BODY.replace(',"version":11', ""),
        _BODY.replace('"key":"venue:1#2",', '"key":"",'),
        _BODY.replace('"side":"sell"', '"side":"hold"'),
        _BODY.replace('"1.33"', "1.33"),
        _BODY.replace('"1.33"', '"1.33",\n"bogus":1'),
        _BODY.replace('"1.33"', '"NaN"'),
        _BODY.replace('"1.33"', "1" * 5000),
        _BODY.replace('"1.33"', "[" * 990 + "]" * 990),
        _BODY.replace('"recorded_at":"2026-01-05T09:00:00.000000Z"', '"recorded_at":"2026-01-05T09:00:00"'),
        _BODY.replace('"recorded_at":"2026-01-05T09:00:00.000000Z"', '"recorded_at":5'),
    ],
)
def test_bytes_that_are_no_event_cannot_be_read(body: str) -> None:
    with pytest.raises(StorageError) as error:
        decode_body(body.encode("utf-8"))
    assert error.value.fault is StorageFault.EVENT_UNREADABLE
    assert str(error.value).isprintable()


def test_bytes_that_are_no_text_cannot_be_read() -> None:
    with pytest.raises(StorageError) as error:
        decode_body(b"\xff" + _BODY.encode())
    assert error.value.fault is StorageFault.EVENT_UNREADABLE


@given(st.integers(0, len(_BODY) - 1), st.characters(max_codepoint=0x7F))
def test_a_changed_character_is_another_event_or_unreadable(position: int, character: str) -> None:
    """Never the same event: each character of a body says something. (So the hash proves the event, not its spelling.)"""
    changed = _BODY[:position] + character + _BODY[position + 1 :]
    if changed == _BODY:
        return
    try:
        sealed = decode_body(changed.encode("utf-8"))
    except StorageError:
        return
    resealed = encode_body(
        sealed.event,
        book=sealed.book,
        version=sealed.version,
        event_id=sealed.event_id,
        recorded_at=sealed.recorded_at,
    )
    assert resealed != _BODY.encode("utf-8")


# ---- single values


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Decimal("1.50"), "1.5"),
        (Decimal("-0.0"), "0"),
        (Decimal("1E+3"), "1000"),
        (parse_time("2026-01-31T15:30:00+01:00"), "2026-01-31T14:30:00.000000Z"),
        ("text", "text"),
        (7, 7),
        (True, True),
        (None, None),
        ((Decimal("2.0"), "x"), ["2", "x"]),
    ],
)
def test_a_value_as_json_has_it(value: object, plain: object) -> None:
    assert json_value(value) == plain
    assert type(json_value(value)) is type(plain)


def test_the_envelope_is_no_part_of_what_a_caller_gives() -> None:
    for name in ("version", "event_id", "recorded_at"):
        with pytest.raises(Refused):
            event("deposit", **SMALLEST["deposit"], **{name: time_text(START)})
