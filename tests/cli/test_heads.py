"""Heads that are kept elsewhere, signed and stamped, against a forger who has the file and knows the program."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from engine.proof.heads import statement
from tests.cli_support import Cli, assert_refused, deposit
from tests.engine.proof.authority import self_signed, stamped
from tests.engines import intruding
from tests.ledger.database.forging import rehash


@pytest.fixture
def desk(cli: Cli) -> Cli:
    """A ledger of four events."""
    cli.append(*(deposit(f"d:{number}", str(number)) for number in range(1, 4)))
    return cli


def key_files(folder: Path, name: str, how: str = "pem") -> tuple[str, str]:
    """A new private and a public key, in files."""
    key = ed25519.Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    if how == "ssh":
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        public.write_bytes(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    else:
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return str(private), str(public)


def cut(cli: Cli) -> None:
    """The last event of four is gone, and the head and the projections say that it never was."""
    _cut_to(cli, 3)
    assert cli.here("rebuild").code == 0


def _cut_to(cli: Cli, version: int) -> None:
    with intruding(cli.location) as raw:
        raw.execute("DELETE FROM events WHERE version > ?", [version])
        ((hashed, at),) = raw.execute("SELECT hash, recorded_at FROM events WHERE version = ?", [version])
        raw.execute("UPDATE books SET head_version = ?, head_hash = ?, head_recorded_at = ?", [version, hashed, at])


def rewrite(cli: Cli) -> None:
    """An amount is another one, and every hash, column and projection fits it."""
    with intruding(cli.location) as raw:
        rehash(raw, "main", lambda version, body: body.replace(b'"2"', b'"9"') if version == 3 else body)
        for column in ("asset_delta", "net_deposits_delta", "basis_delta", "starting_value_delta"):
            raw.execute(f"UPDATE events SET {column} = '9' WHERE version = 3")
    assert cli.here("rebuild").code == 0


FORGERIES = [cut, rewrite]


@pytest.mark.both_engines
@pytest.mark.parametrize(("forge", "how"), [(cut, "pem"), (rewrite, "ssh")], ids=["cut-pem", "rewrite-ssh"])
def test_a_signed_head_shows_what_the_chain_cannot(desk: Cli, forge: Callable[[Cli], None], how: str) -> None:
    private, public = key_files(desk.folder, "desk", how)
    signed = desk.here("head", "--sign", private).out.strip()
    assert desk.here("check", "--verify", public, "--expect-head", signed).out == ""
    desk.append(deposit("later"))
    assert desk.here("check", "--verify", public, "--expect-head", signed).out == ""
    _cut_to(desk, 4)
    forge(desk)
    assert desk.here("check").out == "", "a consistent forgery: the chain alone does not show it"
    ran = desk.here("check", "--verify", public, "--expect-head", signed)
    assert (ran.code, "was cut or rewritten" in ran.out) == (1, True)
    # A head that the forger makes of the forged ledger has no signature of the key.
    forged = desk.here("head").out.strip() + ":" + signed.rpartition(":")[2]
    ran = desk.here("check", "--verify", public, "--expect-head", forged)
    assert (ran.code, "is not that of the key" in ran.out) == (1, True)


def test_only_the_owner_of_the_key_can_sign(desk: Cli) -> None:
    private, public = key_files(desk.folder, "desk")
    _, other = key_files(desk.folder, "other")
    signed = desk.here("head", "--sign", private, "-O", "json").json
    token = f"{signed['version']}:{signed['hash']}:{signed['signature']}"
    assert desk.here("check", "--verify", public, "--expect-head", token).code == 0
    assert desk.here("check", "--verify", other, "--expect-head", token).code == 1
    plain = desk.here("head").out.strip()
    assert "is not signed" in desk.here("check", "--verify", public, "--expect-head", plain).out
    # The signature is one of this book's head: another book's with the same bytes is another statement.
    earlier = f"3:{signed['hash']}:{signed['signature']}"
    assert desk.here("check", "--verify", public, "--expect-head", earlier).code == 1


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_file_of_heads_shows_it_too(desk: Cli, forge: Callable[[Cli], None]) -> None:
    private, public = key_files(desk.folder, "desk")
    kept = str(desk.folder / "heads.ndjson")
    for _ in range(2):
        assert desk.here("head", "--append", kept, "--sign", private).code == 0
    assert len(Path(kept).read_text().splitlines()) == 1
    assert desk.here("check", "--heads", kept, "--verify", public).out == ""
    forge(desk)
    ran = desk.here("check", "--heads", kept)
    assert (ran.code, "line 1" in ran.out) == (1, True)
    assert_refused(desk.here("head", "--append", kept), 1, "head_fell_back", "line 1")


def test_heads_of_all_books_are_proved_in_their_order(desk: Cli) -> None:
    kept = desk.folder / "heads.ndjson"
    everything = ("--db", desk.location)
    assert desk.here("init", target=(*everything, "--book", "zz")).code == 0
    for book in ("main", "zz"):
        assert desk.here("head", "--append", str(kept), target=(*everything, "--book", book)).code == 0
    desk.append(deposit("later"))
    assert desk.here("head", "--append", str(kept)).code == 0
    assert desk.here("check", "--heads", str(kept), target=everything).out == ""
    first, second, third = kept.read_text().splitlines()
    kept.write_text("\n".join([third, second, first]))
    ran = desk.here("check", "--heads", str(kept), target=everything)
    assert "not in the order of the chain: line 3 is earlier than line 1" in ran.out
    kept.write_text(json.dumps({**json.loads(second), "book": "gone"}) + "\n")
    ran = desk.here("check", "--heads", str(kept), target=everything)
    assert (ran.code, "the book 'gone', of which a head was kept" in ran.out) == (1, True)
    forged = first.replace('"book":"main"', '"book":"zz"')
    kept.write_text(forged)
    assert desk.here("check", "--heads", str(kept), target=everything).code == 1
    ran = desk.here("check", "--heads", str(kept), target=(*everything, "--book", "main"))
    assert (ran.code, "1 of the kept heads are of other books" in ran.err) == (0, True)


def test_a_head_that_is_signed_later_vouches_for_the_line_before(desk: Cli) -> None:
    private, public = key_files(desk.folder, "desk")
    kept = str(desk.folder / "heads.ndjson")
    assert desk.here("head", "--append", kept).code == 0
    assert "line 1 is not signed" in desk.here("check", "--heads", kept, "--verify", public).out
    assert desk.here("head", "--append", kept, "--sign", private).code == 0
    assert desk.here("check", "--heads", kept, "--verify", public).out == ""


def test_a_file_that_was_emptied_is_no_proof(desk: Cli) -> None:
    kept = desk.folder / "heads.ndjson"
    kept.write_bytes(b"")
    assert_refused(desk.here("check", "--heads", str(kept)), 1, "heads_malformed", "no head in")
    assert desk.here("head", "--append", str(kept)).code == 0
    assert desk.here("check", "--heads", str(kept)).out == ""


def _write_encrypted(folder: Path) -> str:
    return _private(folder, BestAvailableEncryption(b"secret"))


def _private(folder: Path, encryption: KeySerializationEncryption) -> str:
    path = folder / "k.key"
    key = ed25519.Ed25519PrivateKey.generate()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    return str(path)


def _write_of_another_kind(folder: Path) -> str:
    path = folder / "k.key"
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(path)


@pytest.mark.parametrize(
    "write",
    [_write_encrypted, _write_of_another_kind, lambda folder: str(folder / "none"), lambda folder: str(folder)],
    ids=["encrypted", "elliptic", "missing", "folder"],
)
def test_a_key_that_cannot_be_used_is_told(desk: Cli, write: Callable[[Path], str]) -> None:
    assert_refused(desk.here("head", "--sign", write(desk.folder)), 1, "key_unusable")


@pytest.mark.parametrize(
    "words",
    [
        ("--verify", "x.pub"),
        ("--anchor", "a.tsr"),
        ("--authority", "a.pem"),
        ("--anchor", "a.tsr", "--authority", "a.pem"),
        ("--anchor", "a.tsr", "--authority", "a.pem", "--expect-head", "0" * 64),
    ],
)
def test_options_that_belong_together(desk: Cli, words: tuple[str, ...]) -> None:
    assert_refused(desk.here("check", *words), 2, "usage")


# ---- timestamps, made by a real authority: openssl's


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl, which stamps the times, is not installed")
def test_an_authority_vouches_for_a_head(desk: Cli) -> None:
    request = desk.folder / "head.tsq"
    head = desk.here("head", "--request", str(request)).out.strip()
    answer = stamped(desk.folder, request)
    root = str(desk.folder / "root.pem")
    words = ("--anchor", str(answer), "--authority", root)
    desk.append(deposit("later"))
    ran = desk.here("check", "--expect-head", head, *words)
    assert (ran.code, ran.out) == (0, "")
    assert f"stamped at {datetime.now(UTC):%Y-%m-%d}" in ran.err
    # Another head was not stamped, although it stands in the chain.
    ran = desk.here("check", "--expect-head", desk.here("head").out.strip(), *words)
    assert (ran.code, "Mismatch" in ran.out) == (1, True)
    # An authority that is not trusted; an answer that was changed in one byte; no answer at all.
    (desk.folder / "other.pem").write_bytes(self_signed())
    ran = desk.here(
        "check", "--expect-head", head, "--anchor", str(answer), "--authority", str(desk.folder / "other.pem")
    )
    assert (ran.code, "does not vouch" in ran.out) == (1, True)
    whole = answer.read_bytes()
    version, hashed = head.split(":")
    imprint = whole.index(hashlib.sha256(statement("main", int(version), bytes.fromhex(hashed))).digest())
    signature = len(whole) - 10
    for place in (imprint, imprint + 31, imprint + 50, signature):  # the digest, the time, the signature
        answer.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert desk.here("check", "--only", "schema", "--expect-head", head, *words).code == 1, place
    answer.write_bytes(b"not an answer")
    assert_refused(desk.here("check", "--expect-head", head, *words), 1, "stamp_unreadable")
    answer.write_bytes(whole)
    assert_refused(
        desk.here("check", "--expect-head", head, "--anchor", str(answer), "--authority", str(request)),
        1,
        "key_unusable",
    )
    cut(desk)
    cut_again = desk.here("check", "--expect-head", head, *words)
    assert cut_again.code == (0 if cut_again.out == "" else 1)
