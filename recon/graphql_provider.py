"""GraphQLProvider: what a provider file for a GraphQL API builds on. A subclass declares its connections; the rest is in `recon.fetch`."""

from collections.abc import Iterator, Mapping, Sequence

from recon.clock import Clock
from recon.errors import BadRequest
from recon.fetch.graphql import ById, Connection, Nested
from recon.fetch.graphql_ask import RULES, Asker
from recon.fetch.graphql_lookup import GraphReader
from recon.fetch.graphql_walk import GraphWalk
from recon.fetch.listing import Listing
from recon.fetch.page import Lookup, Page
from recon.fetch.transport import Response
from recon.http_provider import HTTPProvider
from recon.section import Section

__all__ = ["ById", "Connection", "GraphQLProvider", "Nested"]


class GraphQLProvider(HTTPProvider):
    """A third party behind one GraphQL endpoint, `base_url`: implements `recon.provider.Provider`.

    A subclass fills `catalogue` with `Connection`s; all else is as of HTTPProvider. Queries only read, so they are asked again as a
    GET is. An answer with `errors` is never a page, whatever stands beside them.
    """

    def __init__(self, section: Section) -> None:
        # What the codes mean comes after the rules of the settings and of the class, which may say otherwise.
        self.classify = (*self.classify, *RULES)
        super().__init__(section)
        self.asker = Asker(self.session, self.look)

    def look(self, response: Response) -> None:
        """Hook: sees every answer with status 200 before it is read; raises a ProviderError leaf where it should not be."""

    def wire_id(self, resource: str, key: str) -> str:
        """Hook: the id that a query takes, out of a key of ours."""
        del resource
        return key

    def connection(self, name: str) -> Connection:
        """The connection of that name; BadRequest where there is none."""
        found = self.resource(name)
        if not isinstance(found, Connection):
            msg = f"provider {self.name}: {name} is no GraphQL connection"
            raise BadRequest(msg)
        return found

    def can_get(self, resource: str) -> bool:
        declared = self.connection(resource)
        return declared.one is not None or declared.many is not None

    def fetch(self, listing: Listing) -> Iterator[Page]:
        """The whole connection, or the range that the partition names. Raises ProviderError leaves."""
        walk = GraphWalk(self.asker, self.connection(listing.resource), listing.partition, listing.clock)
        yield from walk.pages(listing.params, listing.resume)

    def get_many(self, resource: str, keys: Sequence[str], *, clock: Clock) -> Iterator[Lookup]:
        """Each key's item as it stands now, in the order of the keys."""
        reader = GraphReader(self.asker, self.connection(resource), clock, lambda key: self.wire_id(resource, key))
        return reader.read_many(keys, self.concurrency)

    def identity(self, resource: str) -> str:
        """What tells this listing from another one under the same name."""
        declared = self.connection(resource)
        nested = [(inner.name, inner.query) for inner in declared.nested]
        how = (declared.without, declared.ranges, declared.search)
        return repr((super().identity(resource), declared.query, declared.nodes, sorted(declared.variables.items()), nested, how))

    def scope(self, resource: str) -> Mapping[str, str]:
        """What is asked for, for the certificate."""
        declared = self.connection(resource)
        filters = ", ".join(f"{name} = {value}" for name, value in sorted(declared.variables.items()))
        return {"account": str(self.session.origins.base.origin), **({"filters": self.session.mask(filters)} if filters else {})}

    def _endpoint(self, path: str) -> str:
        """One endpoint serves every resource."""
        return path
