"""What a publisher may know of the project around it: the provider whose webhooks it imitates, and the job that an event is of."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from recon.errors import ReconError
from recon.job import Job
from recon.provider import Provider

if TYPE_CHECKING:
    from recon.project.project import Project


class Neighbours:
    """As of `recon.publishers.natively.Neighbours`."""

    def __init__(self, project: "Project") -> None:
        self._project = project

    def provider(self, name: str) -> Provider:
        """The provider of that name; raises UnknownName."""
        return self._project.provider(name)

    def job(self, domain: str) -> Job | None:
        """The job of a domain; None where none is on."""
        return self._project.jobs.get(domain)

    def unreadable(self, job: Job, items: Mapping[str, bytes]) -> Mapping[str, str]:
        """Which of these raw records, by key, the job cannot read, and why; nothing of one in another shape than the job declares."""
        from recon.compare import unreadable

        return unreadable(job, items)

    def provider_types(self, method: str) -> Sequence[str]:
        """The types of providers whose class has such a method; one that does not load has none."""
        types = self._project.types["providers"]
        able = []
        for name in types.names():
            try:
                made = types.load(name, where=name)
            except ReconError:
                continue
            if callable(getattr(made, method, None)):
                able.append(name)
        return able
