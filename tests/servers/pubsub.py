"""A stand-in for Google Pub/Sub on loopback. It is not the service, and not Google's emulator (a Java program that no package carries here).

It speaks the published API over gRPC, with Google's own message types, so that the publisher and Google's subscriber client talk to it as
to the service. What it keeps of the service's rules, and refuses as the service does:

- a publish request is taken whole or not at all; it has at most 1,000 messages and 10 MB; its messages have one ordering key
  (https://docs.cloud.google.com/pubsub/docs/reference/rest/v1/PubsubMessage)
- a message has data or an attribute; at most 100 attributes, keys of 256 bytes and values of 1,024; an ordering key of 1 KiB
  (https://cloud.google.com/pubsub/quotas#resource_limits)
- NOT_FOUND for a topic that is not there; TestIamPermissions on a topic answers what the caller may do
- a subscription hands out what came after it was made, in order within a key, until it is acknowledged

Ack deadlines, filters, retention, schemas, quotas and credentials it does not have. What it holds outlives `kill`, as the service's does.
All pages read 2026-11.
"""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import grpc
from google.iam.v1 import iam_policy_pb2
from google.protobuf import empty_pb2
from google.pubsub_v1 import types

from tests.servers.postgres import free_port

REQUEST_BYTES = 10_000_000


class PubSubServer:
    """`start`, `kill`, `stop`; `url` is `host:port`. `may_publish` is what TestIamPermissions says, None that it is not there (as in the emulator)."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"127.0.0.1:{self.port}"
        self.may_publish: bool | None = True
        self.requests: list[int] = []
        self._topics: dict[str, list[str]] = {}
        self._waiting: dict[str, list[tuple[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._server: grpc.Server | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Starts it, where it does not run, with what it held."""
        if self._server is None:
            self._server = grpc.server(
                ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", 2 * REQUEST_BYTES), ("grpc.so_reuseport", 0)]
            )
            self._server.add_generic_rpc_handlers(self._handlers())
            assert self._server.add_insecure_port(self.url) == self.port
            self._server.start()

    def kill(self) -> None:
        """Without a word: calls under way get no answer, though what they had brought may be there."""
        if self._server is not None:
            self._server.stop(None).wait()
            self._server = None

    def _handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        def unary(do: Any, asks: Any, answers: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(do, asks.FromString, answers.SerializeToString)

        publisher = {
            "CreateTopic": unary(self._create_topic, types.Topic.pb(), types.Topic.pb()),
            "GetTopic": unary(self._get_topic, types.GetTopicRequest.pb(), types.Topic.pb()),
            "Publish": unary(self._publish, types.PublishRequest.pb(), types.PublishResponse.pb()),
        }
        subscriber = {
            "CreateSubscription": unary(self._subscribe, types.Subscription.pb(), types.Subscription.pb()),
            "Pull": unary(self._pull, types.PullRequest.pb(), types.PullResponse.pb()),
            "Acknowledge": unary(self._acknowledge, types.AcknowledgeRequest.pb(), empty_pb2.Empty),
        }
        iam = {
            "TestIamPermissions": unary(
                self._permissions, iam_policy_pb2.TestIamPermissionsRequest, iam_policy_pb2.TestIamPermissionsResponse
            )
        }
        services = {"google.pubsub.v1.Publisher": publisher, "google.pubsub.v1.Subscriber": subscriber, "google.iam.v1.IAMPolicy": iam}
        return tuple(grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items())

    def _create_topic(self, request: Any, _: grpc.ServicerContext) -> Any:
        self._topics[request.name] = []
        return request

    def _get_topic(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._known(request.topic, context)
        return types.Topic.pb()(name=request.topic)

    def _permissions(self, request: Any, context: grpc.ServicerContext) -> Any:
        if self.may_publish is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        self._known(request.resource, context)
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=request.permissions if self.may_publish else [])

    def _known(self, topic: str, context: grpc.ServicerContext) -> None:
        if topic not in self._topics:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Resource not found (resource={topic.rpartition('/')[2]}).")

    def _publish(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._known(request.topic, context)
        wrong = _wrong(request)
        if wrong:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, wrong)
        self.requests.append(len(request.messages))
        with self._lock:
            numbers = [str(next(self._numbers)) for _ in request.messages]
            for subscription in self._topics[request.topic]:
                self._waiting[subscription] += zip(numbers, request.messages, strict=True)
        return types.PublishResponse.pb()(message_ids=numbers)

    def _subscribe(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._known(request.topic, context)
        with self._lock:
            self._topics[request.topic].append(request.name)
            self._waiting[request.name] = []
        return request

    def _pull(self, request: Any, _: grpc.ServicerContext) -> Any:
        with self._lock:
            found = self._waiting[request.subscription][: request.max_messages]
        return types.PullResponse.pb()(received_messages=[{"ack_id": number, "message": message} for number, message in found])

    def _acknowledge(self, request: Any, _: grpc.ServicerContext) -> Any:
        with self._lock:
            gone = set(request.ack_ids)
            self._waiting[request.subscription] = [one for one in self._waiting[request.subscription] if one[0] not in gone]
        return empty_pb2.Empty()


def _wrong(request: Any) -> str:
    """What the service says of a request that it does not take; "" of any other."""
    messages = request.messages
    rules = {
        "The request has no message, or more than 1000.": 1 <= len(messages) <= 1000,
        "Request payload size exceeds the limit: 10000000 bytes.": request.ByteSize() <= REQUEST_BYTES,
        "In a single publish request, all messages must have the same ordering key.": len({one.ordering_key for one in messages}) == 1,
        "A message is empty: it must contain either non-empty data, or at least one attribute.": all(
            one.data or one.attributes for one in messages
        ),
        "A message contains too many attributes (max 100).": all(len(one.attributes) <= 100 for one in messages),
        "An attribute's key or value is too long.": all(
            len(k.encode()) <= 256 and len(v.encode()) <= 1024 for one in messages for k, v in one.attributes.items()
        ),
        "The ordering key is too long (max 1024 bytes).": all(len(one.ordering_key.encode()) <= 1024 for one in messages),
    }
    return next((words for words, kept in rules.items() if not kept), "")
