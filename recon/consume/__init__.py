"""The other end: what an application needs to take corrections in, in any order and however often they come.

```python
from recon.consume import Applier

applier = Applier(engine, table="orders", key="id", version="updated_at")
applier.create_tables()
applier.apply(body)
```

Names are imported from their modules on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recon.consume.applied import Applied, AppliedKind
    from recon.consume.applier import Applier
    from recon.consume.asgi import WebhookApp
    from recon.consume.beside import DeadLetter, Disputed
    from recon.consume.consuming import consume
    from recon.consume.effects import Effect
    from recon.consume.reader import Reader, Received
    from recon.versions import Version, Versions

__all__ = [
    "Applied",
    "AppliedKind",
    "Applier",
    "DeadLetter",
    "Disputed",
    "Effect",
    "Reader",
    "Received",
    "Version",
    "Versions",
    "WebhookApp",
    "consume",
]

#: The module of each public name.
LAZY = {
    **dict.fromkeys(("Applied", "AppliedKind"), "recon.consume.applied"),
    "Applier": "recon.consume.applier",
    "Effect": "recon.consume.effects",
    **dict.fromkeys(("DeadLetter", "Disputed"), "recon.consume.beside"),
    **dict.fromkeys(("Reader", "Received"), "recon.consume.reader"),
    **dict.fromkeys(("Version", "Versions"), "recon.versions"),
    "WebhookApp": "recon.consume.asgi",
    "consume": "recon.consume.consuming",
}


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        msg = f"module 'recon.consume' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
