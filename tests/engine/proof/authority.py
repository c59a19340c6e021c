"""A real authority that stamps times (RFC 3161): openssl's, with certificates of the tests' own."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@cache
def _authority() -> dict[str, bytes]:
    """A root, a certificate that may stamp, one that may not, and their keys."""
    made: dict[str, bytes] = {}
    root_key = ec.generate_private_key(ec.SECP256R1())
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A root")])
    for name, of, issuer, may_stamp in (
        ("root", root_key, root_name, False),
        ("stamper", ec.generate_private_key(ec.SECP256R1()), root_name, True),
    ):
        subject = root_name if name == "root" else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(of.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - timedelta(days=1))
            .not_valid_after(datetime.now(UTC) + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == "root", path_length=None), critical=True)
        )
        if may_stamp:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        made[name] = builder.sign(root_key, hashes.SHA256()).public_bytes(Encoding.PEM)
        made[f"{name}.key"] = of.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made


CONFIGURATION = """
[tsa]
default_tsa = tsa1
[tsa1]
serial = serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
ess_cert_id_chain = no
"""


def stamped(folder: Path, request: Path) -> Path:
    """The authority's answer to a request."""
    for name, content in _authority().items():
        (folder / f"{name}.pem").write_bytes(content)
    (folder / "tsa.cnf").write_text(CONFIGURATION)
    (folder / "serial").write_text("01")
    words = ["openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", request.name, "-inkey", "stamper.key.pem"]
    subprocess.run(
        [*words, "-signer", "stamper.pem", "-out", "answer.tsr"], cwd=folder, check=True, capture_output=True
    )
    return folder / "answer.tsr"


def self_signed() -> bytes:
    """A certificate of somebody who is not trusted."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Somebody")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(datetime(2020, 1, 1)).not_valid_after(datetime(2040, 1, 1))  # noqa: DTZ001
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
