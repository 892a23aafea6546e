"""Doubles for the tests of jobs, providers and publishers: yours and ours.

```python
from recon.testing import reconcile_in_memory

def test_orders_are_compared_by_status():
    found = reconcile_in_memory(orders, provider=[{"id": "1", "status": "paid"}], store=[{"id": "1", "status": "open"}])
    assert found.changed == ["1"]
```

| name                  | what it is                                                                          |
|-----------------------|-------------------------------------------------------------------------------------|
| `reconcile_in_memory` | the real comparison of a job over two small lists                                   |
| `FakeProvider`        | a third party in memory: pages, reads by id, faults                                 |
| `MemoryStore`         | a store in memory, for jobs that read a table                                       |
| `sqlite_store`        | a real SQLite store from rows, for jobs with SQL of their own                       |
| `RecordingPublisher`  | keeps what it is given; outcomes can be scripted                                    |
| `MemorySubscription`, `MemoryReader` | a broker's subscription in memory, and what reads it                 |
| `FixedClock`          | a clock that only a test moves; sleeping moves it                                   |
| `check_events`        | fails where an event type changed without a new version                              |
| `section`             | a table of recon.toml, to construct a provider, store or publisher from             |
| `ThirdParty`          | a stateful third party over HTTP on loopback: pages, 429s, 500s, deletions, webhooks |
| `check_provider`      | whether a provider keeps the contract, tried against a server that does what third parties do |
| `FaultServer`         | a server on loopback that cuts, resets, drips and lies as it is told                |

All but `ThirdParty`, `check_provider` and `FaultServer` work without a network; importing this loads none of the heavy libraries.
"""

from typing import TYPE_CHECKING, Any

from recon.testing.clock import FixedClock
from recon.testing.provider import FakeProvider
from recon.testing.publisher import RecordingPublisher
from recon.testing.section import section

if TYPE_CHECKING:
    from recon.demo.third_party import ThirdParty
    from recon.testing.compare import Found, reconcile_in_memory
    from recon.testing.conformance import Finding, check_provider
    from recon.testing.events import check_events
    from recon.testing.fault_server import FaultServer
    from recon.testing.reader import MemoryReader, MemorySubscription
    from recon.testing.store import MemoryStore, sqlite_store

__all__ = [
    "FakeProvider",
    "FaultServer",
    "Finding",
    "FixedClock",
    "Found",
    "MemoryReader",
    "MemoryStore",
    "MemorySubscription",
    "RecordingPublisher",
    "ThirdParty",
    "check_events",
    "check_provider",
    "reconcile_in_memory",
    "section",
    "sqlite_store",
]

_LAZY = {
    "FaultServer": "recon.testing.fault_server",
    "Finding": "recon.testing.conformance",
    "Found": "recon.testing.compare",
    "MemoryReader": "recon.testing.reader",
    "MemoryStore": "recon.testing.store",
    "MemorySubscription": "recon.testing.reader",
    "ThirdParty": "recon.demo.third_party",
    "check_events": "recon.testing.events",
    "check_provider": "recon.testing.conformance",
    "reconcile_in_memory": "recon.testing.compare",
    "sqlite_store": "recon.testing.store",
}


def __getattr__(name: str) -> Any:
    """The names that need DuckDB, pyarrow or a server are loaded when first asked for."""
    if name not in _LAZY:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
