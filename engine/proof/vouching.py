"""Who vouches for a head: the owner of a key (Ed25519), and an authority that stamps times (RFC 3161). The extra `sign`.

    openssl genpkey -algorithm ed25519 -out desk.pem                  a key
    openssl pkey -in desk.pem -pubout -out desk.pub                   what verifies it

Verifying needs nothing but files: no network, and no authority that is still there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ledger.errors import Refusal, StorageError, StorageFault
from ledger.refusal_texts import refuse

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_MOST_BYTES = 1 << 20
# A statement and a signature of it → whether it is that of the key.
Verify: TypeAlias = Callable[[bytes, bytes], bool]


@dataclass(frozen=True, slots=True)
class Stamp:
    """When an authority had seen a head, and the authority's name."""

    at: datetime
    authority: str


@contextmanager
def _with_extra() -> Iterator[None]:
    """Raises StorageError `extra_missing` where what the extra installs is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise StorageError(
            StorageFault.EXTRA_MISSING,
            "signatures and timestamps need packages that are not installed",
            expected="the extra sign",
            advice="install it with: pip install 'netbasis[sign]'",
        ) from error


def sign(key_file: Path, stated: bytes) -> bytes:
    """The signature of a statement. Raises Refused `key_unusable`; StorageError `extra_missing`."""
    return _private_key(key_file).sign(stated)


def verifier(public_file: Path) -> Verify:
    """What says whether a signature of a statement is that of a key.

    Raises Refused `key_unusable`; StorageError `extra_missing`.
    """
    key = _public_key(public_file)
    from cryptography.exceptions import InvalidSignature

    def verify(stated: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, stated)
        except InvalidSignature:
            return False
        return True

    return verify


def _private_key(file: Path) -> Ed25519PrivateKey:
    with _with_extra():
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key
    content = _content(file)
    try:
        load = load_ssh_private_key if b"BEGIN OPENSSH" in content else load_pem_private_key
        key = load(content, None)
    except (ValueError, TypeError) as error:  # TypeError: it is encrypted
        refuse(Refusal.KEY_UNUSABLE, file=file, actual=str(error).partition(".")[0])
    if not isinstance(key, Ed25519PrivateKey):
        refuse(Refusal.KEY_UNUSABLE, file=file, actual=type(key).__name__)
    return key


def _public_key(file: Path) -> Ed25519PublicKey:
    with _with_extra():
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key, load_ssh_public_key
    content = _content(file)
    try:
        key = (load_ssh_public_key if content.startswith(b"ssh-") else load_pem_public_key)(content)
    except (ValueError, TypeError) as error:
        refuse(Refusal.KEY_UNUSABLE, file=file, actual=str(error).partition(".")[0])
    if not isinstance(key, Ed25519PublicKey):
        refuse(Refusal.KEY_UNUSABLE, file=file, actual=type(key).__name__)
    return key


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(_MOST_BYTES)
    except OSError as error:
        refuse(Refusal.KEY_UNUSABLE, file=file, actual=error.strerror)


def stamp_request(stated: bytes) -> bytes:
    """A request (RFC 3161) to stamp a statement, to be sent to an authority. Raises StorageError `extra_missing`."""
    with _with_extra():
        from rfc3161_client import HashAlgorithm, TimestampRequestBuilder
    return TimestampRequestBuilder().data(stated).hash_algorithm(HashAlgorithm.SHA256).build().as_bytes()


def verify_stamp(answer_file: Path, authority_file: Path, stated: bytes) -> Stamp | str:
    """When an authority stamped a statement; or why its answer does not show that it did.

    `authority_file`: the certificates (PEM) that are trusted: the authority's root, and those between where the answer lacks
    them. Raises Refused `key_unusable`, `stamp_unreadable`; StorageError `extra_missing`.
    """
    with _with_extra():
        from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response
    roots, between = _certificates(authority_file)
    try:
        answer = decode_timestamp_response(_content(answer_file))
    except ValueError as error:
        refuse(Refusal.STAMP_UNREADABLE, file=answer_file, actual=str(error))
    builder = VerifierBuilder()
    for root in roots:
        builder = builder.add_root_certificate(root)
    for certificate in between:
        builder = builder.add_intermediate_certificate(certificate)
    try:
        builder.build().verify_message(answer, stated)
        (signer,) = answer.signed_data.signer_infos
        return Stamp(answer.tst_info.gen_time, signer.issuer.rfc4514_string())
    except (VerificationError, ValueError) as error:  # ValueError: an answer that refuses has no token
        return str(error)


def _certificates(file: Path) -> tuple[list[x509.Certificate], list[x509.Certificate]]:
    """Those of a file that signed themselves, and the others."""
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(_content(file))
    except ValueError as error:
        refuse(Refusal.KEY_UNUSABLE, file=file, actual=str(error).partition(".")[0])
    roots = [certificate for certificate in found if certificate.issuer == certificate.subject]
    if not roots:
        refuse(Refusal.KEY_UNUSABLE, file=file, actual="no root certificate")
    return roots, [certificate for certificate in found if certificate not in roots]
