"""The way to Google Pub/Sub: endpoint, credentials, and the calls that the publisher makes over one connection."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from recon.section import Section

ENDPOINT = "pubsub.googleapis.com:443"
SCOPES = ("https://www.googleapis.com/auth/pubsub",)
LOOPBACK = ("localhost:", "127.0.0.1:", "[::1]:")
PUBLISH = "/google.pubsub.v1.Publisher/Publish"
HEALTH_SECONDS = 5.0
OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
    # A server that is back is found again within seconds, whatever others of this process have waited for it.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),
)


class PubSubChannel:
    """One connection, made on first use.

    Settings: `endpoint`, `host:port`, by default the global one (order per key wants a regional one, such as
    `europe-west1-pubsub.googleapis.com:443`, where publishers are spread); a loopback one, `insecure = true` and PUBSUB_EMULATOR_HOST are spoken
    to without TLS and without credentials; `credentials`, a service account's JSON by reference, by default what Google's own chain finds.
    """

    def __init__(self, section: Section) -> None:
        environ = os.environ if section.environ is None else section.environ
        emulator = environ.get("PUBSUB_EMULATOR_HOST", "")
        self._endpoint: str = section.text("endpoint", emulator or ENDPOINT)
        insecure: bool = section.flag("insecure", False)
        self._plain = insecure or self._endpoint.startswith(LOOPBACK) or (bool(emulator) and self._endpoint == emulator)
        if "://" in self._endpoint or ":" not in self._endpoint:
            raise section.bad("endpoint", "wants host:port", hint=f'endpoint = "{ENDPOINT}"')
        self._account = _account(section)
        self._channel: Any = None
        self._call: Any = None

    def call(self, topic: str, entries: Sequence[Mapping[str, Any]], seconds: float) -> Any:
        """The call under way: `result()` is a PublishResponse, or raises what gRPC raises, within the seconds."""
        from google.pubsub_v1 import types

        self._open()
        request = types.PublishRequest.pb()(topic=topic, messages=entries)
        # By this header Google's front finds the region of a topic: https://google.aip.dev/client-libraries/4222 (read 2026-11)
        return self._call.future(request, timeout=seconds, metadata=(("x-goog-request-params", f"topic={topic}"),))

    def may_publish(self, topic: str) -> bool:
        """Whether the credentials may publish there; raises what gRPC raises, such as NOT_FOUND."""
        import grpc
        from google.iam.v1 import iam_policy_pb2
        from google.pubsub_v1 import types

        self._open()
        route = (("x-goog-request-params", f"resource={topic}"),)
        asks = iam_policy_pb2.TestIamPermissionsRequest
        answers = iam_policy_pb2.TestIamPermissionsResponse
        permitted = self._channel.unary_unary("/google.iam.v1.IAMPolicy/TestIamPermissions", asks.SerializeToString, answers.FromString)
        wanted = ["pubsub.topics.publish"]
        try:
            told = permitted(asks(resource=topic, permissions=wanted), timeout=HEALTH_SECONDS, metadata=route)
            return list(told.permissions) == wanted
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
        # The emulator knows no permissions.
        get, topics = types.GetTopicRequest.pb(), types.Topic.pb()
        there = self._channel.unary_unary("/google.pubsub.v1.Publisher/GetTopic", get.SerializeToString, topics.FromString)
        there(get(topic=topic), timeout=HEALTH_SECONDS)
        return True

    def connected(self, seconds: float) -> None:
        """Waits for the connection; raises what gRPC raises."""
        import grpc

        self._open()
        try:
            grpc.channel_ready_future(self._channel).result(seconds)
        except grpc.FutureTimeoutError:
            msg = f"no connection to {self._endpoint} within {seconds:g} s"
            raise TimeoutError(msg) from None

    def close(self) -> None:
        """Lets go; the next use connects anew."""
        if self._channel is not None:
            self._channel.close()
            self._channel = self._call = None

    def _open(self) -> None:
        if self._channel is not None:
            return
        from google.pubsub_v1 import types

        self._channel = self._plainly() if self._plain else self._securely()
        asks, answers = types.PublishRequest.pb(), types.PublishResponse.pb()
        self._call = self._channel.unary_unary(PUBLISH, asks.SerializeToString, answers.FromString)

    def _plainly(self) -> Any:
        import grpc

        return grpc.insecure_channel(self._endpoint, options=OPTIONS)

    def _securely(self) -> Any:
        import google.auth
        from google.oauth2 import service_account
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

        if self._account is not None:
            credentials: Any = service_account.Credentials.from_service_account_info(self._account, scopes=SCOPES)  # type: ignore[no-untyped-call]  # google-auth types it not.
        else:
            credentials, _ = google.auth.default(scopes=SCOPES)
        return PublisherGrpcTransport.create_channel(self._endpoint, credentials=credentials, options=OPTIONS)


def _account(section: Section) -> dict[str, Any] | None:
    """What `credentials` leads to, read; None where nothing is given."""
    secret = section.secret("credentials", None)
    if secret is None:
        return None
    try:
        account = json.loads(secret.reveal())
    except ValueError:
        account = None
    if not isinstance(account, dict) or account.get("type") != "service_account":
        raise section.bad("credentials", "leads to no key of a service account", hint='credentials = { file = "/run/secrets/pubsub.json" }')
    return account
