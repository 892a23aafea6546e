"""Where a NATS server is and as whom we come: what the publisher and the reader share."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from recon.publishers.secure import Tls, way_out
from recon.section import Section

if TYPE_CHECKING:
    from nats.aio.client import Client

SCHEMES = ("nats", "tls")
RETRY_SECONDS = 0.05
"""Between two tries at the same address within one connection attempt."""
CLOSING_SECONDS = 1.0
UNMADE_SECONDS = 0.05
"""For closing what never became a connection: after a handshake that failed the client waits for an end that does not come."""


class NotConnected(Exception):
    """No connection; the words say why. `lasting`: somebody has to mend a setting first, so there is no hurry to try again."""

    def __init__(self, why: str, *, lasting: bool = False) -> None:
        super().__init__(why)
        self.lasting = lasting


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsServer:
    """One server, or several of one cluster, and the credentials: at most one of user and password, token, nkey and credentials."""

    urls: tuple[str, ...] = field(repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    #: The seed of an nkey, `SU…`.
    nkey: str | None = field(default=None, repr=False)
    #: What stands in a `.creds` file.
    credentials: str | None = field(default=None, repr=False)
    tls: Tls = field(default_factory=Tls)

    @classmethod
    def of(cls, section: Section) -> "NatsServer":
        """The server that a table of recon.toml names; raises BadSetting."""
        urls = tuple(one.strip() for one in str(section.text_or_secret("url")).split(",") if one.strip())
        if not urls or not all(_is_url(one) for one in urls):
            raise section.bad(
                "url", "is no address of a NATS server", hint="nats://host:4222, tls://host:4222; several of a cluster with commas"
            )
        secrets = {name: section.secret(name, None) for name in ("password", "token", "nkey", "credentials")}
        user: str | None = section.text("user", None)
        ways = [name for name in ("user", "token", "nkey", "credentials") if (user if name == "user" else secrets[name]) is not None]
        if len(ways) > 1:
            raise section.bad(ways[1], f"stands beside {ways[0]}: one way to say who we are is enough")
        if (user is None) is not (secrets["password"] is None):
            raise section.bad("user" if user is None else "password", "is missing: user and password go together")
        if ways in (["nkey"], ["credentials"]) and find_spec("nkeys") is None:
            raise section.bad(ways[0], "needs the library nkeys, which is not installed", hint='pip install "nats-py[nkeys]"')
        revealed = {name: None if secret is None else secret.reveal() for name, secret in secrets.items()}
        return cls(urls=urls, user=user, tls=Tls.of(section), **revealed)

    @property
    def place(self) -> str:
        """The addresses without who we are, for a person."""
        return ", ".join(f"{parts.hostname}:{parts.port or 4222}" for parts in map(urlsplit, self.urls))

    @property
    def sealed(self) -> bool:
        """Whether nothing may be said to the server unless it speaks TLS."""
        return bool(self.tls) or any(urlsplit(url).scheme == "tls" for url in self.urls)

    async def connected(
        self, seconds: float, *, on_error: Callable[[Exception], Awaitable[None]], on_closed: Callable[[], Awaitable[None]]
    ) -> "Client":
        """A connection that does not mend itself: what was on its way when it broke must not be sent behind our back. Raises NotConnected."""
        errors: list[Exception] = []

        async def noted(error: Exception) -> None:
            errors.append(error)
            await on_error(error)

        made = False

        async def ended() -> None:
            # One that was never made has no end to be told.
            if made:
                await on_closed()

        client = _client(sealed=self.sealed)
        try:
            async with asyncio.timeout(seconds):
                await client.connect(**self._options(seconds), error_cb=noted, closed_cb=ended)
        except (
            Exception
        ) as error:  # The client passes on whatever its libraries raise; every one of them means that there is no connection.
            await closed(client, seconds=UNMADE_SECONDS)
            raise self._reason([*errors, error]) from error
        made = True
        return client

    def _options(self, seconds: float) -> dict[str, Any]:
        options: dict[str, Any] = {
            "servers": list(self.urls),
            "name": "nightly-recon",
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": RETRY_SECONDS,
            "connect_timeout": seconds,
            "user": self.user,
            "password": self.password,
            "token": self.token,
            "nkeys_seed_str": self.nkey,
        }
        if self.credentials is not None:
            from nats.aio.client import RawCredentials

            options["user_credentials"] = RawCredentials(self.credentials)
        if self.tls:
            options["tls"] = self.tls.context()
        return options

    def _reason(self, errors: list[Exception]) -> NotConnected:
        """Why there is no connection: what the server said, else what the network did, else that nothing came in time."""
        from nats.errors import NoServersError

        said = [one for one in errors if not isinstance(one, NoServersError)] or errors
        words = next((text for one in said if (text := words_of(one))), "no answer within the time")
        if "authorization" in words.lower() or "authentication" in words.lower():
            return NotConnected(f"{self.place} does not let us in: {words}; check user, password, token, nkey or credentials", lasting=True)
        if "speaks no TLS" in words:
            return NotConnected(f"no connection to {self.place}: {words}", lasting=True)
        way = way_out(words, ca='`ca = "authority.pem"`')
        return NotConnected(f"no connection to {self.place}: {words}" + (f"; {way}" if way else ""), lasting=bool(way))


def _client(*, sealed: bool) -> "Client":
    """A client; one that is `sealed` says who it is over TLS alone.

    The library goes over to TLS where the server asks for it, and else says user and password in the clear, whatever the url wants
    (nats-py 2.16): who stands between us and the server would need to leave out one word to read them.
    """
    from nats.aio.client import Client
    from nats.errors import Error

    class Sealed(Client):
        def _connect_command(self) -> bytes:
            writer = getattr(self._transport, "_io_writer", None)
            if writer is None or writer.get_extra_info("ssl_object") is None:
                msg = "the server speaks no TLS, and tls://, ca or certificate wants it: nothing was said to it; set up TLS there, or write nats:// without them"
                raise Error(msg)
            return super()._connect_command()

    return Sealed() if sealed else Client()


async def closed(client: "Client", *, seconds: float = CLOSING_SECONDS) -> None:
    """Closes a connection, with what that may take bounded: a peer that reads nothing must not hold us."""
    try:
        async with asyncio.timeout(seconds):
            await client.close()
    except Exception:  # noqa: BLE001 - it is given up all the same, and what it says changes nothing
        # It waits for its peer to take what is left, and has no door that does not.
        writer: Any = getattr(getattr(client, "_transport", None), "_io_writer", None)
        # Under TLS, Python 3.11.2 has let go of the socket by then, and falls over that.
        with suppress(AttributeError):
            writer.transport.abort()


def words_of(error: BaseException) -> str:
    """An error in a line."""
    if isinstance(error, NotConnected):
        return str(error)
    text = "".join(c for c in str(error) if c.isprintable()).removeprefix("nats: ").strip("' ")[:200]
    return text or ("" if isinstance(error, TimeoutError) else type(error).__name__)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in SCHEMES and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
