"""The corrective event: what it says, its id, the shapes it travels in, and the schemas that tell others of it."""

from recon.event.cloudevents import batched, binary, structured
from recon.event.event import BIG_EVENT_BYTES, NAMESPACE, Event, decode, event_id
from recon.event.eventbridge import entry

__all__ = ["BIG_EVENT_BYTES", "NAMESPACE", "Event", "batched", "binary", "decode", "entry", "event_id", "structured"]
