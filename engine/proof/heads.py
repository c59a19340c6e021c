"""Heads that were kept elsewhere, and who vouches for them: a key's owner, or an authority that stamps times.

    12:9f2c…                    as `head` prints it: a version and its hash
    12:9f2c…:MEUC…              the same, signed with a key (Ed25519)
    {"at":…,"book":"main","hash":"9f2c…","signature":"MEUC…","version":12}      a line of a file of heads

What is signed and stamped is the statement of a head, a text of two lines that names the book:

    netbasis head/1
    {"book":"main","hash":"9f2c…","version":12}

A hash commits to all events before it, so a head that stands proves that none of them was changed, removed or exchanged.
"""

from __future__ import annotations

import base64
import binascii
import errno
import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import IO

import orjson

from ledger.book import Head, head_text
from ledger.database.whole_file import fsync_path
from ledger.errors import Refusal, Refused, shown
from ledger.integrity.findings import Finding
from ledger.integrity.prover import CHAIN
from ledger.refusal_texts import refuse
from ledger.times import time_text

_TOKEN = re.compile(
    r"(?:(?P<version>[0-9]{1,19}):)?(?P<hash>[0-9a-fA-F]{64})(?::(?P<signature>[A-Za-z0-9+/]{86}==))?", re.ASCII
)
_MOST_BYTES = 1 << 26
_FIELDS = frozenset({"at", "book", "hash", "signature", "version"})


@dataclass(frozen=True, slots=True)
class ExpectedHead:
    """A head that was kept elsewhere: the hash must stand in the chain.

    version:    at this version; None when it is not known
    signature:  of its statement; None when it is not signed
    book:       whose head it is; None for the book that is checked
    place:      where it was kept, such as `line 3`; empty for the command line
    """

    hash: bytes
    version: int | None = None
    signature: bytes | None = None
    book: str | None = None
    place: str = ""


def statement(book: str, version: int, hashed: bytes) -> bytes:
    """What is signed and stamped for a head."""
    fields = {"book": book, "hash": hashed.hex(), "version": version}
    return b"netbasis head/1\n" + orjson.dumps(fields, option=orjson.OPT_SORT_KEYS) + b"\n"


def parse_head(token: str) -> ExpectedHead | None:
    """The head of a text `[VERSION:]HASH[:SIGNATURE]`; None for another text."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    signature = match["signature"]
    return ExpectedHead(
        bytes.fromhex(match["hash"]),
        None if match["version"] is None else int(match["version"]),
        None if signature is None else base64.b64decode(signature),
    )


def token_of(head: Head, signature: bytes | None) -> str:
    """A head as one text; see `parse_head`."""
    return str(head) if signature is None else f"{head}:{base64.b64encode(signature).decode()}"


# ---- a file of heads


def read_heads(path: Path) -> list[ExpectedHead]:
    """The heads in a file, in its order. Raises Refused `file_unreadable`; `heads_malformed`, also where there is none."""
    try:
        with path.open("rb") as opened:
            found = _parse_heads(opened)
    except OSError as error:
        raise Refused(Refusal.FILE_UNREADABLE, f"the file of heads {path} cannot be read", actual=str(error)) from error
    if not found:
        raise Refused(
            Refusal.HEADS_MALFORMED,
            f"there is no head in {path}",
            advice="it proves nothing: keep a head in it with `netbasis head --append`, or find out who emptied it",
        )
    return found


def _parse_heads(opened: IO[bytes] | FileIO) -> list[ExpectedHead]:
    content = opened.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise Refused(Refusal.HEADS_MALFORMED, f"a file of heads has at most {_MOST_BYTES} bytes")
    return [_parse_line(line, number) for number, line in enumerate(content.splitlines(), 1) if line.strip()]


def _parse_line(line: bytes, number: int) -> ExpectedHead:
    place = f"line {number}"
    text = line.decode("utf-8", "replace").strip()
    plain = parse_head(text)
    if plain is not None:
        return ExpectedHead(plain.hash, plain.version, plain.signature, None, place)
    try:
        fields = json.loads(text)
        if not isinstance(fields, dict) or not fields.keys() <= _FIELDS:
            raise ValueError(text)
        version, book, signature = fields["version"], fields["book"], fields.get("signature")
        if type(version) is not int or not isinstance(book, str):
            raise ValueError(text)
        made = None if signature is None else base64.b64decode(signature, validate=True)
        return ExpectedHead(bytes.fromhex(fields["hash"]), version, made, book, place)
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        refuse(Refusal.HEADS_MALFORMED, actual=text, place=place)


def append_head(path: Path, book: str, head: Head, signature: bytes | None, *, now: datetime) -> bool:
    """Add a head to a file, on the disk; False, and nothing is done, when it is the newest of its book there already.

    A signed head is added to an unsigned one. Of several programs one adds at a time, and a line that does not fit on the
    disk is taken back. Raises Refused `head_fell_back` when the file has a later head of the book, or another one of this
    version; `heads_malformed`, `file_unreadable`; OSError.
    """
    is_new = not path.exists()
    try:
        opened = os.open(path, os.O_APPEND | os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except IsADirectoryError as error:
        raise Refused(Refusal.FILE_UNREADABLE, f"the file of heads {path} cannot be read", actual=str(error)) from error
    with FileIO(opened, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        kept = [known for known in _parse_heads(file) if known.book == book]
        _require_no_later(kept, book, head)
        if kept and kept[-1].version == head.version and (signature is None or kept[-1].signature is not None):
            return False
        fields: dict[str, object] = {
            "at": time_text(now),
            "book": book,
            "hash": head.hash.hex(),
            "version": head.version,
        }
        if signature is not None:
            fields["signature"] = base64.b64encode(signature).decode()
        _add_line(file, orjson.dumps(fields, option=orjson.OPT_SORT_KEYS) + b"\n", path)
    if is_new:
        fsync_path(path.absolute().parent)
    return True


def _require_no_later(kept: Sequence[ExpectedHead], book: str, head: Head) -> None:
    for known in kept:
        is_later = known.version is not None and known.version > head.version
        if is_later or (known.version == head.version and known.hash != head.hash):
            refuse(
                Refusal.HEAD_FELL_BACK,
                expected=head_text(known.version, known.hash),
                actual=str(head),
                book=shown(book),
                place=known.place,
            )


def _add_line(file: FileIO, line: bytes, path: Path) -> None:
    """Add a line behind the last one, which an editor may have left without its end; all of it, or nothing."""
    size = file.seek(0, os.SEEK_END)
    if size:
        file.seek(size - 1)
        if file.read(1) != b"\n":
            line = b"\n" + line
    try:
        if file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            file.truncate(size)
        raise


def out_of_order(heads: Sequence[ExpectedHead]) -> Iterator[Finding]:
    """A finding for each head of a file that does not come after the one before it of its book."""
    last: dict[str | None, ExpectedHead] = {}
    for head in heads:
        before = last.get(head.book)
        if (
            before is not None
            and before.version is not None
            and head.version is not None
            and head.version < before.version
        ):
            detail = f"the heads are not in the order of the chain: {head.place} is earlier than {before.place}"
            yield Finding(CHAIN, head.version, detail, f"{before.version} or later", str(head.version))
        last[head.book] = head


# ---- heads against a chain


class KeptHeads:
    """Watches the chain of one book go by and knows which of the heads that were kept stand in it."""

    def __init__(self, heads: Sequence[ExpectedHead]) -> None:
        self._waiting: dict[int | None, list[ExpectedHead]] = {}
        for head in heads:
            self._waiting.setdefault(head.version, []).append(head)

    def is_waiting(self) -> bool:
        """Whether there are heads that were not seen yet."""
        return bool(self._waiting)

    def awaited(self) -> frozenset[bytes]:
        """The hashes of those that were not seen yet."""
        return frozenset(head.hash for heads in self._waiting.values() for head in heads)

    def observe(self, version: int, hashed: object) -> None:
        """Look at a link of the chain: heads that are found in it are no longer waited for."""
        for at in (version, None):
            if at in self._waiting:
                left = [head for head in self._waiting.pop(at) if head.hash != hashed]
                if left:
                    self._waiting[at] = left

    def settle(self, stands: Callable[[ExpectedHead], bool]) -> None:
        """Ask somebody else about those that are still waited for."""
        for version, heads in list(self._waiting.items()):
            left = [head for head in heads if not stands(head)]
            if left:
                self._waiting[version] = left
            else:
                del self._waiting[version]

    def findings(self, end: Head) -> Iterator[Finding]:
        """A finding for each that does not stand in the chain. `end`: of what was proved."""
        for head in (head for heads in self._waiting.values() for head in heads):
            place = "the chain" if head.version is None else f"the chain at version {head.version}"
            kept = f" ({head.place})" if head.place else ""
            detail = f"the head that was kept elsewhere{kept} does not stand in {place}: the log was cut or rewritten"
            yield Finding(CHAIN, head.version, detail, head.hash.hex(), f"head {end}")
