"""S3 and what speaks like it. boto3 lists, looks and signs; the bytes come by a signed URL over `recon.fetch.download`.

So a file of a bucket is read with the deadlines, ranges and preconditions of every other download: GetObject takes `Range` and
`If-Match`, and answers 412 for another ETag
(https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html, read 2026-11). A version that the bucket keeps is asked for by
its VersionId, and is then the same file for good.
"""

import fnmatch
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from recon.clock import Clock, SystemClock
from recon.dumps.pin import SMALL, Pin
from recon.errors import Refused, Unreachable
from recon.fetch.download import Downloads, Identity
from recon.fetch.listing import Meter
from recon.fetch.origin import Origins, parse_url
from recon.fetch.retry import Policy
from recon.secret import Secret, SecretRef
from recon.section import Section

SIGNED_FOR = 6 * 3600
NOT_THERE = {"404", "NoSuchKey", "NotFound"}
PASSING = {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "500", "503"}
T = TypeVar("T")


class Bucket:
    """Implements `Place`. `options` go to boto3's client; `keys` are its credentials, by default boto3's own chain finds them."""

    local = False
    lists = True

    def __init__(
        self, bucket: str, prefix: str, options: Mapping[str, Any], keys: Mapping[str, Secret | SecretRef], *, counts: Meter, timeout: float
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.words = f"s3://{bucket}/{prefix}"
        self.credential = "access_key" if keys else "boto3's own"
        self._options = dict(options)
        self._keys = dict(keys)
        self._counts = counts
        self._timeout = timeout
        self._downloads: dict[str, Downloads] = {}

    def names(self, pattern: str) -> list[str]:
        """By the bucket's list, which is consistent since 2020 (https://aws.amazon.com/s3/consistency/, read 2026-11)."""

        def listed() -> list[str]:
            fixed = pattern[: min((pattern.find(c) for c in "*?[" if c in pattern), default=len(pattern))]
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix + fixed)
            found = []
            for page in pages:
                self._counts.requests += 1
                found += [entry["Key"].removeprefix(self.prefix) for entry in page.get("Contents", ())]
            return sorted(name for name in found if name and fnmatch.fnmatchcase(name, pattern) and not name.endswith("/"))

        return self._asked(listed, f"the list of {self.words}")

    def look(self, names: Sequence[str]) -> list[Pin]:
        return [self._look(name) for name in names]

    def _look(self, name: str) -> Pin:
        def looked() -> Pin:
            self._counts.requests += 1
            head = self._client.head_object(Bucket=self.bucket, Key=self.prefix + name)
            version = head.get("VersionId", "")
            return Pin(
                size=head["ContentLength"],
                changed=head["LastModified"].isoformat(),
                etag=head["ETag"],
                version="" if version == "null" else version,
                packed="gzip" if "gzip" in head.get("ContentEncoding", "") else "",
            )

        return self._asked(looked, f"{self.words}{name}", absent=Pin())

    def blocks(self, name: str, pin: Pin, at: int, clock: Clock) -> Iterator[bytes]:
        version = {"VersionId": pin.version} if pin.version else {}
        identity = Identity(etag=pin.etag, size=pin.size)
        return self._by_url(name, version).file(self._url(name, version), clock=clock, pinned=identity).blocks(at)

    def small(self, name: str) -> bytes | None:
        pin = self._look(name)
        return None if pin.size is None else b"".join(self.blocks(name, pin, 0, SystemClock()))[:SMALL] if pin.size <= SMALL else b""

    def close(self) -> None:
        for one in self._downloads.values():
            one.close()

    def _url(self, name: str, more: Mapping[str, str]) -> str:
        params = {"Bucket": self.bucket, "Key": self.prefix + name, **more}
        url: str = self._asked(
            lambda: self._client.generate_presigned_url("get_object", Params=params, ExpiresIn=SIGNED_FOR), f"{self.words}{name}"
        )
        return url

    def _by_url(self, name: str, more: Mapping[str, str]) -> Downloads:
        """What reads from the origin that boto3 names: the bucket's own host, or the endpoint's."""
        location = parse_url(self._url(name, more))
        origin = str(location.origin)
        if origin not in self._downloads:
            self._downloads[origin] = Downloads(Origins(location), counts=self._counts, timeout=self._timeout, policy=Policy())
        return self._downloads[origin]

    @functools.cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(connect_timeout=10, read_timeout=self._timeout, retries={"mode": "standard", "total_max_attempts": 5})
        keys = {name: given.get().reveal() if isinstance(given, SecretRef) else given.reveal() for name, given in self._keys.items()}
        return self._asked(lambda: boto3.client("s3", config=config, **self._options, **keys), self.words)

    def _asked(self, ask: Callable[[], T], what: str, *, absent: T | None = None) -> T:
        try:
            from botocore.exceptions import BotoCoreError, ClientError
        except ModuleNotFoundError:
            msg = f"{self.words}: reading a bucket needs boto3, which is not installed"
            raise Refused(msg, hint="pip install 'nightly-recon[s3]'") from None
        try:
            return ask()
        except (BotoCoreError, ClientError, ValueError) as error:
            if absent is not None and _code(error) in NOT_THERE:
                return absent
            raise self._fault(error, what) from None

    def _fault(self, error: Exception, what: str) -> Refused | Unreachable:
        """botocore's errors in our words: its own may quote whole requests."""
        from botocore.exceptions import ClientError, ConnectionError, HTTPClientError, NoCredentialsError, NoRegionError  # noqa: A004 - botocore's own name for it

        match error:
            case NoCredentialsError():
                hint = 'access_key = { env = "…" } and secret_key = { env = "…" } in the provider\'s table, or any way of boto3\'s own'
                return Refused(f"{what}: there are no credentials", hint=hint)
            case NoRegionError():
                return Refused(f"{what}: there is no region", hint='region = "eu-central-1" in the provider\'s table')
            case ClientError():
                code, said = _code(error), str(error.response.get("Error", {}).get("Message", ""))[:200]
                if code in PASSING:
                    return Unreachable(f"{what}: {code}: {said}")
                return Refused(f"{what}: {code}: {said}", hint="check bucket, prefix, and what the credential may list and read")
            case HTTPClientError() | ConnectionError():
                return Unreachable(f"{what}: no whole answer ({type(error).__name__})")
        return Refused(f"{what}: {type(error).__name__}: {' '.join(str(error).split())[:160]}")


def _code(error: Exception) -> str:
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def bucket_of(section: Section, counts: Meter) -> Bucket:
    """The bucket of a provider's table: `bucket`, `prefix`, `endpoint_url`, `region`, `access_key` with `secret_key` (and `session_token`), `timeout`."""
    from recon.dumps.web import location_of

    options: dict[str, Any] = {}
    insecure = section.flag("insecure", False)
    endpoint = section.text("endpoint_url", None)
    if endpoint is not None:
        location_of(section, "endpoint_url", endpoint, insecure=insecure)
        options["endpoint_url"] = endpoint
    region = section.text("region", None)
    if region is not None:
        options["region_name"] = region
    keys: dict[str, Secret | SecretRef] = {}
    for key, word in (("access_key", "aws_access_key_id"), ("secret_key", "aws_secret_access_key"), ("session_token", "aws_session_token")):
        given = section.take(key, None)
        if given is None:
            continue
        if not isinstance(given, Secret | SecretRef):
            raise section.bad(key, "a secret is given by reference only", hint=f'write {key} = {{ env = "NAME" }} or {{ file = "path" }}')
        keys[word] = given
    if keys and not {"aws_access_key_id", "aws_secret_access_key"} <= keys.keys():
        raise section.bad("access_key", "access_key and secret_key go together")
    prefix = section.text("prefix", "")
    return Bucket(section.text("bucket"), prefix, options, keys, counts=counts, timeout=section.duration("timeout", 30.0))
