"""A second look that says nothing personal: reasons and errors name no key that is not shown, however a third party quotes it."""

from collections.abc import Sequence
from dataclasses import dataclass

from recon.compare import Look
from recon.confirm import SecondLook, without
from recon.job import Job
from recon.personal import Veil
from recon.redact import redact


@dataclass(frozen=True, slots=True)
class Discreet:
    """Another look, asked under a veil."""

    look: SecondLook
    veil: Veil

    @property
    def job(self) -> Job:
        """What is compared."""
        return self.look.job

    def at(self, keys: list[str], controls: Sequence[str]) -> tuple[dict[str, Look], dict[str, str]]:
        """As the look itself answers, the reasons without what is hidden."""
        with self.veil.hiding([*keys, *controls]):
            looks, unknown = self.look.at(keys, controls)
            return looks, {key: redact(without(key, why)) for key, why in unknown.items()}


def discreet(look: SecondLook, veil: Veil) -> SecondLook:
    """The look, under the veil where that hides anything."""
    return Discreet(look, veil) if veil.names else look
