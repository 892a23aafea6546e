"""The project that a world's hosts run: one recon.toml and a job file for each domain."""

from pathlib import Path
from typing import TYPE_CHECKING

from recon.testing.simulation.clock import moment
from recon.testing.simulation.listing import PARTS, RULES

if TYPE_CHECKING:
    from recon.testing.simulation.world import Universe

TOML = """[project]
name = "world"
[state]
url = "sqlite:///{state}"
[engine]
threads = 1
memory = "256MB"
[providers.{provider}]
type = "rest"
base_url = "http://127.0.0.1:9/"
tries = 3
max_wait = "90s"
concurrency = 1
{terms}[publishers.{publisher}]
{destination}"""
NATIVE = """type = "webhook"
render = "native"
provider = "shop"
url = "http://127.0.0.1:9/hooks"
secret = { file = "hook" }
[providers.shop.webhooks]
topic_header = "X-Shop-Topic"
id_header = "X-Shop-Delivery"
body = { event = "{topic}", sent_at = "{time}", data = "{record}" }
gone = { id = "{key}", deleted = true }
signature = { header = "X-Shop-Signature", value = "t={timestamp},v1={signature}", over = "{timestamp}.{body}" }
"""
TOPICS = """[providers.shop.webhooks.topics.{domain}]
created = "{domain}.placed"
updated = "{domain}.changed"
deleted = "{domain}.removed"
"""
RATE = 'rate = {{ requests = {requests}, per = "60s" }}\n'
OAUTH = 'auth = { oauth2 = { token_url = "http://127.0.0.1:9/oauth/token", client_id = "world", client_secret = { file = "secret" } } }\n'
RESOURCE = """[providers.{provider}.resources.{resource}]
path = "{domain}"
records = "data"
{get}{batch}{total}{age}{parts}paging = {{ {rule} }}
[stores.{store}]
url = "sqlite:///{file}"
"""
GET = 'get = "{domain}/{{key}}"\ndeleted = {{ at = "deleted", is = true }}\n'
BATCH = 'batch = {{ path = "{domain}/many", param = "ids", join = ",", records = "data", size = {size}, absent = "not_found" }}\n'
JOB = '''"""{domain}: what the shop has."""

from recon import Field, Guard, Job, Table
{versions}
{domain} = Job(
    domain="{domain}",
    provider="shop",
    resource="{domain}",
    store="{domain}",
    table=Table(name="{domain}"),
    event="{domain}",
{chain}    publisher="bus",
    settle={settle},
    delete_nights={delete_nights},
{updated}    schedule="0 3 * * *",
    guard=Guard(floor={floor}, missing=0.3, extra=0.2, changed=0.3, same_field=0.6, shrunken=0.35),
    fields=(Field("status"), {amount}, Field("currency", compare={currency}), Field("version", "integer", compare=False){changed}),
)
'''
VERSIONS = """from recon.testing.simulation.migration import lowered, raised
from recon.versions import Version

VERSIONS = (Version(number=1, up=raised, down=lowered, sunset="{sunset}"),)
"""


def folder_of(universe: "Universe", host: str) -> Path:
    """The host's own disk: its project, and what its runs leave there."""
    return universe.folder / host


def write_project(universe: "Universe", host: str) -> None:
    """Writes the project of one host; the state is one for all."""
    folder = folder_of(universe, host)
    (folder / "jobs").mkdir(parents=True)
    world = universe.world
    own = world.own.job if world.own is not None else None
    provider, publisher = (own.provider, own.publisher) if own is not None else ("shop", "bus")
    # Twice as much is declared as is let through: what the third party tells is what counts.
    terms = (RATE.format(requests=world.allowed * 2) if world.allowed else "") + (OAUTH if world.token_life else "")
    if world.token_life:
        (folder / "secret").write_text("known to the world\n")
        (folder / "secret").chmod(0o600)
    text = TOML.format(
        state=universe.folder / "state.db",
        provider=provider,
        publisher=publisher,
        terms=terms,
        destination=NATIVE if world.native else 'type = "stdout"\n',
    )
    if world.native:
        text += "".join(TOPICS.format(domain=domain) for domain in universe.domains)
        universe.seal.tell(host)
    if world.total:
        text += f"[guards]\ntotal = {world.total}\n"
    for domain in universe.domains:
        get = "" if world.list_only else GET.format(domain=domain)
        several = world.reads_at_once and not world.list_only
        batch = BATCH.format(domain=domain, size=world.reads_at_once) if several else ""
        age = (f"cursor_age = {world.cursor_age}\n" if world.cursor_age else "") + ("etags = true\n" if world.etags else "")
        total = 'total = "meta.total"\n' if world.declares_total else ""
        file = universe.applications[domain].file
        resource, store = (own.resource, own.store) if own is not None else (domain, domain)
        text += RESOURCE.format(
            provider=provider,
            resource=resource,
            store=store,
            domain=domain,
            get=get,
            batch=batch,
            total=total,
            age=age,
            parts=PARTS[world.parts],
            rule=RULES[world.paging],
            file=file,
        )
    (folder / "recon.toml").write_text(text)
    if own is None:
        write_jobs(universe, host)


def write_jobs(universe: "Universe", host: str) -> None:
    """The job files, by the fields that count now."""
    world = universe.world
    for domain in universe.domains:
        text = JOB.format(
            domain=domain,
            settle=world.settle,
            floor=world.floor,
            currency="currency" in universe.compared,
            delete_nights=world.delete_nights,
            versions=VERSIONS.format(sunset=moment(universe.facts.sunset - 1).date()) if universe.schema > 1 else "",
            chain="    event_version=2,\n    versions=VERSIONS,\n" if universe.schema > 1 else "",
            amount='Field("total", "integer", path="amount", column="amount")' if universe.schema > 1 else 'Field("amount", "integer")',
            updated='    updated="changed",\n' if world.updated else "",
            changed=', Field("changed", "timestamp", compare=False)' if world.updated else "",
        )
        (folder_of(universe, host) / f"jobs/{domain}.py").write_text(text)
