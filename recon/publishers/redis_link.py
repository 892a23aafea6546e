"""The way to a Redis server: what the publisher and the reader share."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from recon.publishers.secure import way_out

if TYPE_CHECKING:
    from redis import Redis

FAULT_SECONDS = 300.0
"""Before a fault that somebody has to mend is tried again."""
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
VERIFYING = {"ssl_cert_reqs": ("required",), "ssl_check_hostname": ("true", "yes", "1")}
"""What these may say in a url. https://redis.readthedocs.io/en/stable/examples/ssl_connection_examples.html (read 2026-11)"""


class WrongUrl(ValueError):
    """Something in a url that is not taken; the words say what, and hold no secret."""


def client_of(url: str, **more: Any) -> "Redis":
    """A client that repeats nothing by itself. Raises WrongUrl, and ValueError for what is no URL of a Redis server."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    named = parse_qs(urlsplit(url).query)
    for key, wanted in VERIFYING.items():
        if any(given.lower() not in wanted for given in named.get(key, ())):
            msg = f"has {key}={named[key][0]}: a server's certificate is always verified; ?ssl_ca_certs=… names an authority of your own"
            raise WrongUrl(msg)
    for key in FILES:
        for name in named.get(key, ()):
            if not Path(name).is_file():
                msg = f"names {name} ({key}), and there is no such file"
                raise WrongUrl(msg)
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), protocol=2, **more)


def fault(error: Exception) -> tuple[str, str, bool]:
    """What is wrong with the way there, the way out, and whether somebody has to mend a setting first."""
    import redis

    words = said_by(error).rstrip(".")
    if isinstance(error, redis.AuthenticationError):
        return words, "check the user and the password in the url (rediss://user:password@host)", True
    if way := way_out(words, ca="`?ssl_ca_certs=/path/authority.pem` in the url"):
        return words, way, True
    return words, "check the url (rediss:// where the server speaks TLS, and only there), the password, and that the server runs", False


def said_by(error: Exception | bytes | str) -> str:
    """An error in a line."""
    text = error.decode("utf-8", "replace") if isinstance(error, bytes) else str(error)
    return "".join(c for c in text[:200] if c.isprintable()) or type(error).__name__
