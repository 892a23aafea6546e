"""A web server: files by name, since HTTP lists nothing; pinned by ETag or date, gone on with by ranges."""

from collections.abc import Iterator, Sequence

from recon.clock import Clock, SystemClock
from recon.dumps.pin import SMALL, Pin
from recon.errors import Refused
from recon.fetch.auth import Auth
from recon.fetch.download import Downloads, Identity
from recon.fetch.listing import Meter
from recon.fetch.origin import BadUrl, Location, Origins, parse_url, shown
from recon.fetch.retry import Policy
from recon.fetch.signin import auth_of
from recon.section import Section


class Web:
    """Implements `Place` on `recon.fetch.download`."""

    local = False
    lists = False

    def __init__(self, origins: Origins, auth: Auth | None, *, counts: Meter, timeout: float, tries: int) -> None:
        self.words = origins.base.without_query()
        self.credential = type(auth).__name__.lower() if auth is not None else ""
        self._downloads = Downloads(origins, auth=auth, counts=counts, timeout=timeout, policy=Policy(tries=tries))

    def names(self, pattern: str) -> list[str]:
        return [pattern]

    def look(self, names: Sequence[str]) -> list[Pin]:
        return [self._look(name) for name in names]

    def _look(self, name: str) -> Pin:
        file = self._downloads.file(name, clock=SystemClock())
        found = file.look()
        if found is None:
            return Pin()
        # Without a length there is still a file: its end is then proven by its chunks.
        return Pin(size=-1 if found.size is None else found.size, changed=found.modified, etag=found.etag, packed=file.encoding)

    def blocks(self, name: str, pin: Pin, at: int, clock: Clock) -> Iterator[bytes]:
        identity = Identity(etag=pin.etag, modified=pin.changed, size=None if pin.size == -1 else pin.size)
        return self._downloads.file(name, clock=clock, pinned=identity).blocks(at)

    def small(self, name: str) -> bytes | None:
        found = b""
        try:
            for block in self._downloads.file(name, clock=SystemClock()).blocks():
                found += block
                if len(found) >= SMALL:
                    break
        except Refused:
            return None
        return found[:SMALL]

    def close(self) -> None:
        self._downloads.close()


def web_of(section: Section, counts: Meter) -> Web:
    """The web server of a provider's table: `base_url`, `origins`, `auth`, `timeout`, `tries`, `insecure`. Raises BadSetting."""
    insecure = section.flag("insecure", False)
    url = section.text("base_url")
    base = location_of(section, "base_url", url, insecure=insecure)
    others = section.typed("origins", list, [], words="a list of texts")
    origins = Origins(base, [location_of(section, "origins", str(other), insecure=insecure).origin for other in others])
    return Web(
        origins,
        auth_of(section, insecure=insecure),
        counts=counts,
        timeout=section.duration("timeout", 30.0),
        tries=section.integer("tries", 8, low=1),
    )


def location_of(section: Section, key: str, url: str, *, insecure: bool) -> Location:
    """A URL of the settings; plain http is for this machine only, unless `insecure = true` says otherwise."""
    try:
        location = parse_url(url)
    except BadUrl as error:
        raise section.bad(key, f"{shown(url)} cannot be used: {error}", hint="write https://files.example/exports") from None
    if location.query or "#" in url:
        raise section.bad(key, "holds a query or a fragment", hint="a token belongs into auth")
    if location.origin.scheme == "http" and not location.origin.loopback and not insecure:
        why = f"{location.origin} is plain http, so the credential and every record would cross the network in clear"
        raise section.bad(key, why, hint="write https://…, or insecure = true where the network itself is trusted")
    return location
