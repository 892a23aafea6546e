"""TLS between us and a broker: what a handshake that failed says, and the way out."""

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


def way_out(said: str, *, ca: str) -> str:
    """What to do about a connection that failed with these words, "" where they are not about TLS. `ca`: how the authority's file is set here."""
    low = said.lower()
    return next((way.format(ca=ca) for words, way in WAYS if any(word in low for word in words)), "")
