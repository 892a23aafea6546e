"""TLS between us and a broker: whom we trust and what we show, what a handshake that failed says, and the way out."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from recon.section import Section

WAYS = (
    (("certificate has expired", "certificate is not yet valid"), "renew the server's certificate, or set this machine's clock right"),
    (("mismatch", "is not valid for"), "the server's certificate is for other names: write its address as it stands there"),
    (
        ("could not be verified",),
        "the server's certificate is past its day, or for another name, or signed by an authority that is not known here: name that one's file, {ca}",
    ),
    (
        ("certificate verify failed",),
        "the authority that signed the server's certificate is not known here: name the file with its certificate, {ca}",
    ),
    (("wrong version number", "wrong_version_number", "packet length too long"), "the server speaks no TLS at this port: check the port"),
    (("alert bad certificate", "alert unknown ca", "certificate required"), "the server does not take the certificate that we showed it"),
)
"""What OpenSSL says, the first that fits, and what to do; `librdkafka` says one thing for all that may be wrong with a certificate.

https://github.com/openssl/openssl/blob/master/crypto/x509/x509_txt.c (read 2026-11)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The file of an authority that the system does not know; the files of our own certificate and its key, where a broker wants one."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def of(cls, section: Section) -> "Tls":
        """`ca`, `certificate` and `key` of a table of recon.toml, relative to its folder; raises BadSetting."""
        given = {name: section.text(name, None) for name in ("ca", "certificate", "key")}
        for name, file in given.items():
            if file is not None and not (section.folder / file).is_file():
                whose = "the authority's" if name == "ca" else "our own"
                what = "key" if name == "key" else "certificate"
                raise section.bad(name, f"there is no file {file}", hint=f"{whose} {what} in PEM, relative to recon.toml's folder")
        if (given["certificate"] is None) is not (given["key"] is None):
            raise section.bad("key" if given["key"] is None else "certificate", "is missing: certificate and key go together")
        made = cls(**{name: None if file is None else section.folder / file for name, file in given.items()})
        try:
            made.context()
        except (ssl.SSLError, OSError) as error:
            wrong = "ca" if made.certificate is None else "certificate"
            raise section.bad(wrong, f"is not taken: {error}", hint="PEM, and a key without a password of its own") from None
        return made

    def __bool__(self) -> bool:
        return self.ca is not None or self.certificate is not None

    def context(self) -> ssl.SSLContext:
        """What a client makes its connection with: the server's certificate and name are verified."""
        made = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
        if self.certificate is not None:
            # A key with a password would be asked for at the terminal.
            made.load_cert_chain(self.certificate, self.key, password="")
        return made


def way_out(said: str, *, ca: str) -> str:
    """What to do about a connection that failed with these words, "" where they are not about TLS. `ca`: how the authority's file is set here."""
    low = said.lower()
    return next((way.format(ca=ca) for words, way in WAYS if any(word in low for word in words)), "")
