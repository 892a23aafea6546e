"""Credentials: four plain ways to sign a request (`oauth` and `signing` hold two more), each applied anew at every attempt, none of them ever shown."""

import base64
import threading
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from recon.clock import Clock
from recon.errors import MissingSecret
from recon.secret import Secret, SecretRef

if TYPE_CHECKING:
    from recon.fetch.transport import Request

Given = Secret | SecretRef


class Credential:
    """One secret: read at its first use and kept, until `renew` reads it again (a file or a command may have a new one)."""

    __slots__ = ("_given", "_secret")

    def __init__(self, given: Given) -> None:
        self._given = given
        self._secret = given if isinstance(given, Secret) else None

    def text(self, *, sent_plain: bool = True) -> str:
        """The secret; MissingSecret where it leads nowhere, or could not be sent as it is."""
        secret = self._secret = self._secret or self._read()
        text = secret.reveal()
        if sent_plain and not (text.isascii() and text.isprintable()):
            # The HTTP library would refuse it too, and would quote it.
            msg = f"the secret from {secret.origin} holds a line end, a control character or one outside ASCII; it cannot be sent"
            raise MissingSecret(msg, hint="look for a stray line end or a copied quotation mark in it")
        return text

    def renew(self) -> bool:
        """Reads the secret again; whether it is another one now."""
        before, self._secret = self._secret, self._read()
        return before is not None and before != self._secret

    @property
    def origin(self) -> str:
        """Where it comes from, for messages: `env SHOP_TOKEN`."""
        if isinstance(self._given, SecretRef):
            return " ".join(next(iter(self._given.reference.items()), ("",)))
        return self._given.origin

    @property
    def identity(self) -> Hashable:
        """What tells this credential from others without reading it."""
        return tuple(sorted(self._given.reference.items())) if isinstance(self._given, SecretRef) else self._given

    def _read(self) -> Secret:
        return self._given.get() if isinstance(self._given, SecretRef) else self._given


class Auth:
    """Signs a request. A subclass says what it adds; `credentials` lists every secret in it."""

    credentials: tuple[Credential, ...] = ()
    #: Names of query parameters that carry a credential: they are cut out of URLs that the API hands back.
    query_names: tuple[str, ...] = ()

    #: One renewal at a time, whoever renews: it takes moments, and is rare.
    _renewing = threading.Lock()

    def ready(self, clock: Clock) -> Hashable:
        """Called before each attempt is signed, to obtain or refresh what the signature needs. Answers what it will be signed with.

        Two answers are equal as long as the credential is the same. Raises MissingSecret, Refused, Unreachable.
        """
        del clock
        return self._stamp()

    def sign(self, request: "Request", clock: Clock) -> None:
        """Called last, once the request is complete: for a signature over it. May change `request.headers` and `request.query`."""

    def identity(self) -> Hashable:
        """What tells the account from others at the same origin, without reading a secret: its requests share their limits."""
        return (type(self).__name__, *(credential.identity for credential in self.credentials))

    def renew_since(self, signed_with: Hashable, clock: Clock) -> bool:
        """After a refusal: whether there is a newer credential than the one refused, renewed by another thread, or here and now."""
        del clock
        with self._renewing:
            return self._stamp() != signed_with or self.renew()

    def give_up(self, signed_with: Hashable) -> None:
        """After a refusal of what was renewed for this very request: it is not to be sent again, where another can be had."""

    def _stamp(self) -> Hashable:
        return tuple(credential.text(sent_plain=False) for credential in self.credentials)

    def headers(self) -> dict[str, str]:
        """The headers to add; raises MissingSecret."""
        return {}

    def query(self) -> dict[str, str]:
        """The query parameters to add; raises MissingSecret."""
        return {}

    def masked(self) -> tuple[str, ...]:
        """Every text that no message may hold."""
        return tuple(text for c in self.credentials if (text := c.text(sent_plain=False)))

    def renew(self) -> bool:
        """Reads every secret again; whether any changed."""
        changed = [credential.renew() for credential in self.credentials]
        return any(changed)

    def through(self, network: Any) -> None:
        """Sends its own requests, where it has any, through what stands in the place of a transport: for the simulation."""

    def close(self) -> None:
        """Ends its own connections, where it has any."""

    @property
    def origin(self) -> str:
        """Where the secrets come from, for messages."""
        return ", ".join(credential.origin for credential in self.credentials)


class Bearer(Auth):
    """`Authorization: Bearer …` (RFC 6750)."""

    def __init__(self, token: Given) -> None:
        self._token = Credential(token)
        self.credentials = (self._token,)

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token.text()}"}


class Basic(Auth):
    """`Authorization: Basic …` (RFC 7617), in UTF-8. The user may be a secret too; some APIs take the key there and no password."""

    def __init__(self, user: str | Given, password: Given) -> None:
        self._user = user if isinstance(user, str) else Credential(user)
        self._password = Credential(password)
        self.credentials = (self._password,) if isinstance(self._user, str) else (self._user, self._password)

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Basic {self._pair()}"}

    def masked(self) -> tuple[str, ...]:
        return (self._pair(), *super().masked())

    def _pair(self) -> str:
        user = self._user if isinstance(self._user, str) else self._user.text(sent_plain=False)
        return base64.b64encode(f"{user}:{self._password.text(sent_plain=False)}".encode()).decode()


class HeaderKey(Auth):
    """A header of the API's own: `X-Api-Key: …`."""

    def __init__(self, name: str, value: Given) -> None:
        self._name = name
        self._value = Credential(value)
        self.credentials = (self._value,)

    def headers(self) -> dict[str, str]:
        return {self._name: self._value.text()}


class QueryKey(Auth):
    """A query parameter: `?api_key=…`."""

    def __init__(self, name: str, value: Given) -> None:
        self._value = Credential(value)
        self.credentials = (self._value,)
        self.query_names = (name,)

    def query(self) -> dict[str, str]:
        return {self.query_names[0]: self._value.text()}
