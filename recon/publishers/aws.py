"""What the publishers and readers of AWS share: credentials, region and endpoint, and a client whose waits are bounded."""

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from recon.errors import DeliveryError
from recon.publishers.aws_fault import FORBIDDEN, code_of, of_error
from recon.publishers.base import Outcome, OutcomeKind
from recon.publishers.extra import needs
from recon.publishers.keyed import Parcel
from recon.secret import Secret, SecretRef
from recon.section import Section

TIMEOUT_SECONDS = 10.0
CONNECT_SECONDS = 5.0
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
ENTRIES = 10
"""What one call of SendMessageBatch, PublishBatch and PutEvents takes."""
BATCH = 500
AT_ONCE = 8
KEYS = {"access_key": "aws_access_key_id", "secret_key": "aws_secret_access_key", "session_token": "aws_session_token"}


class Aws:
    """A service of AWS, or what speaks its protocol at `endpoint_url`.

    Credentials are found by boto3's own chain (environment, profile, web identity, container, instance; a profile may assume a role)
    unless `keys` are given. boto3 repeats nothing by itself: what is sent again is for the outbox to say.
    """

    def __init__(
        self,
        service: str,
        *,
        region: str | None = None,
        profile: str | None = None,
        endpoint_url: str | None = None,
        keys: Mapping[str, Secret | SecretRef] | None = None,
        timeout: float = TIMEOUT_SECONDS,
        at_once: int = AT_ONCE,
    ) -> None:
        self.service = service
        self.at_once = at_once
        self._session = {name: value for name, value in {"region_name": region, "profile_name": profile}.items() if value is not None}
        self._endpoint = endpoint_url
        self._keys = dict(keys or {})
        self._timeout = timeout
        self._lock = threading.Lock()
        self._made: Any = None

    @classmethod
    def of(cls, section: Section, service: str) -> "Aws":
        """As a table of recon.toml says: `region`, `profile`, `endpoint_url`, `insecure`, `access_key` and its kin, `timeout`, `connections`."""
        needs(section, "boto3", "aws")
        keys: dict[str, Secret | SecretRef] = {}
        for key, word in KEYS.items():
            given = section.take(key, None)
            if given is not None and not isinstance(given, Secret | SecretRef):
                raise section.bad(
                    key, "a secret is given by reference only", hint=f'write {key} = {{ env = "NAME" }} or {{ file = "path" }}'
                )
            if given is not None:
                keys[word] = given
        if keys and not {"aws_access_key_id", "aws_secret_access_key"} <= keys.keys():
            raise section.bad("access_key", "access_key and secret_key go together")
        return cls(
            service,
            region=section.text("region", None),
            profile=section.text("profile", None),
            endpoint_url=_endpoint(section),
            keys=keys,
            timeout=section.duration("timeout", TIMEOUT_SECONDS),
            at_once=section.integer("connections", AT_ONCE, low=1),
        )

    def client(self) -> Any:
        """The client, made on first use; raises what boto3 raises."""
        with self._lock:
            if self._made is None:
                import boto3
                import botocore.session
                from botocore.config import Config

                config = Config(
                    connect_timeout=min(CONNECT_SECONDS, self._timeout),
                    read_timeout=self._timeout,
                    retries={"total_max_attempts": 1, "mode": "standard"},
                    max_pool_connections=self.at_once,
                )
                keys = {
                    name: given.get().reveal() if isinstance(given, SecretRef) else given.reveal() for name, given in self._keys.items()
                }
                inner = botocore.session.Session()
                inner.register_component("data_loader", _descriptions())
                session = boto3.session.Session(botocore_session=inner, **self._session, **keys)
                self._made = session.client(self.service, config=config, endpoint_url=self._endpoint)
            return self._made

    def close(self) -> None:
        """Lets go of the connections; the next use makes new ones."""
        with self._lock:
            if self._made is not None:
                self._made.close()
                self._made = None

    def asked(self, ask: Callable[[Any], Any], *, name: str, place: str) -> Any:
        """What the service answers; raises DeliveryError with the way out, which its words hold."""
        try:
            return ask(self.client())
        except Exception as error:
            reason = of_error(error, place=place).reason
            hint = "check region, credentials, the name, and what the credentials may do: recon doctor"
            raise DeliveryError(f"{name}: {reason}", hint=hint) from error

    def looked(self, ask: Callable[[Any], Any], *, name: str, place: str) -> Any:
        """What `asked` answers, or None where the credentials are good and may not ask this: who only sends needs no right to look."""
        try:
            return self.asked(ask, name=name, place=place)
        except DeliveryError as error:
            response = getattr(error.__cause__, "response", None)
            if isinstance(response, dict) and code_of(response) in FORBIDDEN:
                return None
            raise

    def tried(self, place: str, parcels: Sequence[Parcel], send: Callable[[Any, Sequence[Parcel]], Sequence[Outcome]]) -> Sequence[Outcome]:
        """`send`'s outcomes; those of its error where it raises. What is refused as a whole is sent one by one, so that each is judged alone."""
        try:
            return send(self.client(), parcels)
        except Exception as error:  # noqa: BLE001 - boto3 raises of its own, of urllib3, and of what its credentials are read with.
            outcome = of_error(error, place=place)
        if outcome.kind is OutcomeKind.REJECTED and len(parcels) > 1:
            return [self.tried(place, [parcel], send)[0] for parcel in parcels]
        return [outcome] * len(parcels)


@functools.cache
def _descriptions() -> Any:
    """boto3's descriptions of services, read once in a process: it takes ten times as long as to make a client with them."""
    import botocore.session

    return botocore.session.Session().get_component("data_loader")


def _endpoint(section: Section) -> str | None:
    url: str | None = section.text("endpoint_url", None)
    insecure: bool = section.flag("insecure", False)
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise section.bad("endpoint_url", "wants https:// and a host")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not insecure:
        hint = "write https://, or insecure = true where the network itself is trusted"
        raise section.bad("endpoint_url", "is http:// to another machine: the events would be readable on the way", hint=hint)
    return url
