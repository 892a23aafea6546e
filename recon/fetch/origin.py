"""Origins: where an authenticated request may go. Scheme, host and port must each equal a declared one, letter for letter."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from recon.errors import ForeignOrigin

PORTS = {"https": 443, "http": 80}
# What a URL may hold beyond ASCII letters and digits; anything else in a path or query is percent-encoded as it stands.
KEPT = "!#$%&'()*+,/:;=?@[]~-._"


class BadUrl(ValueError):
    """A text that is no absolute http(s) URL, or one written so that readers could disagree about its host."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host (lower case) and port."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == PORTS[self.scheme] else f":{self.port}")

    @property
    def netloc(self) -> str:
        """What stands in the Host header."""
        return str(self).partition("://")[2]

    @property
    def loopback(self) -> bool:
        """Whether this is the machine itself."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Location:
    """A URL in its parts; `path` and `query` are percent-encoded and go on the wire as they are."""

    origin: Origin
    path: str
    query: str = ""

    def __str__(self) -> str:
        return f"{self.origin}{self.path}" + (f"?{self.query}" if self.query else "")

    def without_query(self) -> str:
        """For messages: a query may hold what nobody should read."""
        return f"{self.origin}{self.path}"


def parse_url(url: str) -> Location:
    """The parts of an absolute http(s) URL.

    Raises BadUrl for what URL readers are known to disagree on: user info (`https://api.good@evil`), backslashes, control
    characters, a host outside ASCII, no host.
    """
    if not url.isprintable() or "\\" in url:
        msg = "it holds a control character or a backslash"
        raise BadUrl(msg)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        msg = f"it is malformed ({error})" if "port" in str(error).lower() else "it is malformed"
        raise BadUrl(msg) from None
    scheme = parts.scheme.lower()
    if scheme not in PORTS:
        msg = f"its scheme is {scheme!r}, only https and http serve" if scheme else "it has no scheme"
        raise BadUrl(msg)
    if "@" in parts.netloc:
        msg = "it carries user information before its host"
        raise BadUrl(msg)
    host = (parts.hostname or "").lower()
    if not host or not host.isascii() or any(c in host for c in " %"):
        msg = "its host is empty or outside ASCII"
        raise BadUrl(msg)
    origin = Origin(scheme, host, PORTS[scheme] if port is None else port)
    return Location(origin, quote(parts.path, safe=KEPT) or "/", quote(parts.query, safe=KEPT))


class Origins:
    """The declared origins of one provider: that of its base URL first, then the others."""

    def __init__(self, base: Location, others: Iterable[Origin] = ()) -> None:
        self.base = base
        self.allowed = frozenset((base.origin, *others))

    def resolve(self, target: str) -> Location:
        """The place of a path below the base URL, of an absolute path (`/v2/x`) or of an absolute URL; raises ForeignOrigin."""
        if target.startswith("//"):
            return self.check(f"{self.base.origin.scheme}:{target}")
        scheme, colon, _ = target.partition(":")
        if colon and scheme.isascii() and scheme.replace("+", "").replace("-", "").replace(".", "").isalnum() and "/" not in scheme:
            return self.check(target)
        root = "" if target.startswith("/") else self.base.path.rstrip("/") + "/"
        return self.check(f"{self.base.origin}{root}{target}")

    def check(self, url: str) -> Location:
        """The parts of a URL that leads to a declared origin; raises ForeignOrigin for every other, and never shows a query."""
        try:
            location = parse_url(url)
        except BadUrl as error:
            msg = f"the URL {shown(url)} is not followed: {error}"
            raise ForeignOrigin(msg) from None
        self.admit(location.origin, location.without_query())
        return location

    def admit(self, origin: Origin, url: str | None = None) -> None:
        """Raises ForeignOrigin unless the origin is declared."""
        if origin not in self.allowed:
            known = ", ".join(sorted(str(o) for o in self.allowed))
            msg = f"the URL {shown(url or str(origin))} is not followed: {origin} is not declared; declared: {known}"
            hint = f'if it belongs to this third party: origins = ["{origin}"] in its table of recon.toml'
            raise ForeignOrigin(msg, hint=hint)


def shown(url: str) -> str:
    """A URL for a message: quoted, without its query and without what stands before an @, printable and bounded."""
    text = url.partition("?")[0].partition("#")[0]
    if "@" in text:
        # What stands before an @ may be a password.
        text = text.partition("//")[0] + "//…@" + text.rpartition("@")[2]
    text = "".join(c if c.isprintable() else "�" for c in text)
    return repr(text if len(text) <= 120 else text[:119] + "…")
