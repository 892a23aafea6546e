"""An authority of one's own and a certificate for loopback, for servers that speak TLS."""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """`ca`, `certificate` and `key` are files in the folder, in PEM; the certificate is for 127.0.0.1 and localhost. `made` makes further ones."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.ca = folder / "ca.pem"
        self._root, self._name = ec.generate_private_key(ec.SECP256R1()), _name("recon tests")
        authority = _signed(self._name, self._name, self._root.public_key(), self._root, x509.BasicConstraints(ca=True, path_length=0))
        self.ca.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
        self.certificate, self.key = self.made("server")

    def made(self, name: str, *, hosts: Sequence[str] = ("127.0.0.1", "localhost"), expired: bool = False) -> tuple[Path, Path]:
        """A certificate for these hosts and its key; one that `expired` was good until yesterday."""
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        own = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([_host(host) for host in hosts])
        made = _signed(
            _name(name), self._name, own.public_key(), self._root, names, ago=timedelta(days=3) if expired else timedelta(hours=1)
        )
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        form = serialization.PrivateFormat.PKCS8
        key.write_bytes(own.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        return certificate, key


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    by: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
    *,
    ago: timedelta = timedelta(hours=1),
) -> x509.Certificate:
    begin = datetime.now(UTC) - ago
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(begin).not_valid_after(begin + timedelta(days=2))
    return builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints)).sign(by, hashes.SHA256())
