"""Where an event goes, where that depends on the event: `recon.{domain}`, `corrections.{type}`."""

import re

from recon.publishers.base import Message
from recon.section import Section

PLACE = re.compile(r"\{(\w*)\}")
NAMES = ("domain", "type", "entity", "op", "key", "subject")


class Address:
    """A template over an event's members. `clean` says what a member may not bring into an address of this transport.

    `entity` and `op` are the two halves of a type, such as `order` and `updated`.
    """

    def __init__(self, template: str, *, unwanted: str = "", instead: str = "_") -> None:
        self.template = template
        self._fixed = "{" not in template
        self._unwanted = re.compile(unwanted) if unwanted else None
        self._instead = instead

    @classmethod
    def of(cls, section: Section, key: str, default: str, *, unwanted: str = "", instead: str = "_") -> "Address":
        """The address that a table of recon.toml gives; raises BadSetting for a place that no event has."""
        template: str = section.text(key, default)
        if not template.strip():
            raise section.bad(key, "is empty")
        strange = [name for name in PLACE.findall(template) if name not in NAMES]
        if strange:
            known = ", ".join(f"{{{name}}}" for name in NAMES)
            raise section.bad(key, f"has {{{strange[0]}}}, which no event has", hint=f"there are {known}")
        return cls(template, unwanted=unwanted, instead=instead)

    def __call__(self, message: Message) -> str:
        """The address of one event."""
        if self._fixed:
            return self.template
        entity, _, op = message.type.rpartition(".")
        members = {
            "domain": message.domain,
            "type": message.type,
            "entity": entity,
            "op": op,
            "key": message.partitionkey,
            "subject": message.subject,
        }
        return PLACE.sub(lambda place: self._cleaned(members[place[1]]), self.template)

    def _cleaned(self, member: str) -> str:
        return self._unwanted.sub(self._instead, member) if self._unwanted is not None else member
