"""Personal values: shown by a keyed hash wherever people and logs look, and sent as they are to consumers."""

import json
import random
import re
import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from recon.discrepancy import DiscrepancyKind
from recon.job import BadJob, Field, Job, Table
from recon.ledger import Ledger
from recon.personal import MARK, Veil, install_key
from recon.redact import hiding, redact
from recon.report import render
from recon.report.figures import Duplicate, Item, Problem, Standing, Transition, Unreadable
from recon.report.text import listing, plain
from recon.state.database import State
from tests.integration.state.world import START, Nights, changed, clock, job, migrated_file, migrated_url, state, state_url
from tests.security.people import People, person, row
from tests.security.search import ROWS, files, hits
from tests.servers.fault_server import fault_server, page
from tests.servers.receiver import Receiver, Reply
from tests.unit.figures_fixture import figures

__all__ = ["clock", "fault_server", "migrated_file", "migrated_url", "state", "state_url"]

SEED = 20261125
PERSON = re.compile(rb"(?i)zq(\.mail|name|street|city|other|else|phone|address)")
KEY = bytes(range(32))
PERSONAL = Job(
    domain="people",
    provider="crm",
    resource="people",
    table=Table(name="people", key="email"),
    personal_key=True,
    fields=(Field("name", personal=True), Field("notes", "json", personal=True), Field("plan")),
)
CANARY = st.text(string.ascii_letters + string.digits, min_size=8, max_size=24).map(lambda text: f"Zq{text}@é.example")
VALUE = st.one_of(
    CANARY,
    st.dictionaries(st.sampled_from(["street", "city"]), CANARY, min_size=1),
    st.lists(CANARY, min_size=1, max_size=3),
    st.none(),
)


def record(value: Any) -> dict[str, Any]:
    return {"name": value if isinstance(value, str) else "Zqplain-name@é", "notes": value, "plan": "gold"}


@seed(SEED)
@settings(max_examples=25, deadline=None, phases=(Phase.generate,))
@given(st.lists(st.tuples(CANARY, VALUE, VALUE, st.sampled_from(list(DiscrepancyKind))), min_size=1, max_size=4))
def test_no_renderer_shows_a_personal_value(rows: list[tuple[str, Any, Any, DiscrepancyKind]]) -> None:
    """For random records, no format of a report and no listing on a terminal has a personal value, and the plain fields stay."""
    veil = Veil(KEY, PERSONAL.personal, PERSONAL)
    items = [
        Item(
            key=key,
            kind=kind,
            standing=Standing.NEW,
            changed=("name", "notes") if kind is DiscrepancyKind.CHANGED else (),
            source=None if kind is DiscrepancyKind.EXTRA else record(source),
            target=None if kind is DiscrepancyKind.MISSING else record(target),
            first_seen=START,
            nights=1,
            link=f"https://crm.example/people/{key}",
        )
        for key, source, target, kind in rows
    ]
    keys = [key for key, *_ in rows]
    base = replace(
        figures(3),
        controls=tuple(keys),
        duplicates=(Duplicate(place="store", key=keys[0], count=2),),
        unreadable=(Unreadable(place="provider", key=keys[0], field="notes", why="is no JSON", sample=json.dumps(record(rows[0][1]))),),
        transitions=(Transition(field="name", before=keys[0], after="absent", count=3),),
        problem=Problem(kind="StoreMismatch", message=f'invalid input syntax for type integer: "{keys[0]}"', hint=""),
    )
    shown = veil.figures(base)
    made = {form: b"".join(render.pieces(shown, lambda: veil.items(items), form)) for form in render.FORMATS}
    made["listing"] = plain(listing(shown, veil.items(items), whole=True)).encode()
    if found := ROWS.search(made["html"]):
        import base64
        import gzip

        made["html rows"] = gzip.decompress(base64.b64decode(found[1]))

    # By chance the packed rows of a page could hold two such letters; no text of ours holds the domain.
    assert [form for form, body in made.items() if any(word in body for word in ("é.example".encode(), b"\\u00e9.example"))] == []
    assert hits({f"key {n}": key for n, key in enumerate(keys)}, made) == []
    assert all(b"hmac:" in made[form] for form in made if form not in {"html", "junit", "md"})
    assert b"gold" in made["jsonl"]


def test_equal_values_look_equal_and_marks_are_their_own(state: State) -> None:
    """One value has one mark on every host of an installation, a mark is left as it is, and another installation's marks differ."""
    first, second = Veil.of(state, PERSONAL), Veil.of(state, PERSONAL)

    assert first.mark("ada@x.example") == second.mark("ada@x.example")
    assert MARK.fullmatch(first.mark({"a": 1}))
    assert first.mark(first.mark("x")) == first.mark("x")
    assert first.mark("x") != Veil(KEY, PERSONAL.personal, PERSONAL).mark("x")
    assert install_key(state) == install_key(state)
    assert first.record({"name": None, "plan": "gold"}) == {"name": None, "plan": "gold"}


def test_sums_stay_and_single_amounts_of_a_personal_field_do_not() -> None:
    """Histogram and sums are of nobody and stay; an item's own amount goes where its field is personal."""
    paid = job(fields=tuple(replace(f, personal=f.name == "amount") for f in job().fields))
    veil = Veil(KEY, paid.personal, paid)
    item = Item(
        key="1", kind=DiscrepancyKind.MISSING, standing=Standing.NEW, changed=(), source={"amount": 1}, target=None, first_seen=START,
        nights=1, created_at=START, money=1999, currency="EUR",
    )  # fmt: skip

    assert (veil.item(item).money, veil.item(item).created_at) == (None, START)
    assert veil.figures(figures(30)).money == figures(30).money
    assert veil.figures(figures(30)).created == figures(30).created


def test_a_key_that_a_field_hides_has_to_be_hidden_too() -> None:
    """A personal field that is the key's column is refused unless the key is declared personal as well."""
    with pytest.raises(BadJob, match="personal_key=True"):
        replace(PERSONAL, personal_key=False, fields=(Field("email", personal=True), Field("plan")))


def test_a_mark_can_be_typed(state: State, clock) -> None:
    """The key behind a mark in a report is found again in the ledger; a mark of nothing is told so."""
    nights = Nights(state, clock, job(personal_key=True))
    nights.night([changed("ada@x.example"), changed("bob@x.example")])
    veil = Veil.of(state, nights.job)

    assert veil.typed(state, "orders", veil.mark("bob@x.example")) == "bob@x.example"
    assert veil.typed(state, "orders", "ada@x.example") == "ada@x.example"
    with pytest.raises(Exception, match="no key that was ever found to differ"):
        veil.typed(state, "orders", "hmac:000000000000")
    assert [item.key for item in veil.items(Ledger(state).items(nights.claim.run.id))] == [
        veil.mark("ada@x.example"),
        veil.mark("bob@x.example"),
    ]


def test_what_is_hidden_is_masked_in_errors_with_all_that_led_to_them() -> None:
    """An exception that leaves the block has its words, hint, notes and causes masked, and afterwards nothing is masked any more."""
    with pytest.raises(RuntimeError) as caught, hiding({"ada@x.example": "hmac:1"}):
        try:
            {}["ada@x.example"]
        except KeyError as cause:
            error = RuntimeError("GET /people/ada%40x.example -> 500")
            error.add_note('{"email": "ada@x.example"}')
            raise error from cause

    assert str(caught.value) == "GET /people/hmac:1 -> 500"
    assert caught.value.__notes__ == ['{"email": "hmac:1"}']
    assert caught.value.__cause__.args == ("hmac:1",)
    assert redact("ada@x.example") == "ada@x.example"


@pytest.fixture
def people(tmp_path: Path, fault_server, receiver: Receiver) -> People:
    """A night with everything in it that names a person: missing, extra, changed, twice, unreadable, unanswered, refused."""
    made = People(tmp_path, fault_server, receiver)
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    order = chance.sample(range(30), 12)
    mails = [person(number)["email"] for number in order]
    for mail in mails[:3]:
        made.sql("delete from people where email = ?", mail)
    made.sql("insert into people values (?,?,?,?,?)", *row(person(40)))
    made.sql("update people set name = 'Zqother Canary' where email = ?", mails[3])
    made.sql("update people set address = ? where email = ?", json.dumps({"street": "Zqelse 1"}), mails[4])
    made.sql("insert into people values (?,?,?,?,?)", *row(person(order[5])))
    made.sql("update people set phone = 'Zqphone none' where email = ?", mails[6])
    made.sql("update people set name = 'Zqname refuse' where email = ?", mails[7])
    made.sql("update people set address = 'Zqaddress no json' where email = ?", mails[8])
    made.sql("update people set plan = 'odd' where email in (?, ?)", mails[9], mails[10])
    made.by_id[mails[9]] = lambda _: page(
        {"error": {"code": "odd", "message": f"cannot read {mails[9]} of Zqname{order[9]:02d} O'Canary"}}, 500
    )
    made.by_id[mails[10]] = lambda _: page({"error": f"forbidden: {mails[10]}"}, 403)
    receiver.decide = lambda request: Reply(status=422, body=b"no: " + request.body) if mails[0].encode() in request.body else Reply()
    return made


def test_a_whole_night_shows_no_person(people: People, receiver: Receiver) -> None:
    """Run, show, explain, reports, the files of the report, refusals, failures and logs at -vv: not one personal value."""
    done = people.recon("run", "people", "-vv", "--json")
    night = json.loads(done.stdout)
    said = {"run": done.stdout + done.stderr}
    commands: list[tuple[object, ...]] = [
        ("show", night["run"], "--full"),
        ("show", night["run"], "--json"),
        ("publish", "people", "-vv"),
        ("doctor", "people"),
        *(("report", night["run"], "-f", form) for form in ("json", "md", "text")),
    ]
    lines = people.recon("report", night["run"], "-f", "jsonl").stdout.splitlines()
    marked = [json.loads(line)["key"] for line in lines]
    real = [person(number)["email"] for number in range(30)]
    commands += [("explain", "people", marked[0], "--json"), ("explain", "people", marked[-1]), ("explain", "people", real[3])]
    commands += [
        ("check", "people", "--id", marked[-1], "-vv"),
        ("ack", "people", marked[-1], "--reason", "known"),
        ("explain", "people", marked[-1]),
    ]
    for words in commands:
        one = people.recon(*words)
        assert one.returncode in {0, 6, 75}, (words, one.stderr)
        said[" ".join(map(str, words))] = one.stdout + one.stderr
    places = {name: text.encode() for name, text in said.items()} | files(people.folder / "reports")

    assert (night["missing"], night["extra"], night["unconfirmed"]) == (3, 1, 2)
    assert night["changed"] == 2
    assert (night["duplicate_keys"], night["unreadable_items"]) == (1, 3)
    assert night["personal"] == ["address", "key", "name", "phone"]
    assert night["delivery"]["dead"] == 1
    shown = [f"{place}: {line!r}" for place, body in places.items() for line in body.splitlines() if PERSON.search(line)]
    assert shown[:6] == []
    assert hits({f"phone {n}": str(person(n)["phone"]) for n in range(41)}, places) == []
    assert all(MARK.fullmatch(key) for key in marked)
    assert "odd" in said[f"show {night['run']} --full"] or night["unconfirmed"] == 2
    # Consumers heal with the values themselves.
    assert {event["data"]["key"] for event in receiver.events} >= {person(40)["email"]}
    assert b"Zqname" in b"".join(request.body for request in receiver.requests)


def test_a_held_night_is_approved_by_keys_that_are_not_shown(tmp_path: Path, fault_server, receiver: Receiver) -> None:
    """A plan of hidden keys is held, approved by its checksum and sent: the controls it needs were kept, and not shown."""
    made = People(tmp_path, fault_server, receiver, floor=2)
    made.sql("delete from people where phone < '4670000005'")
    night = made.run()
    approved = made.recon("approve", night["run"], "--plan", night["plan"]["checksum"][:8], "--reason", "expected", "--json")

    assert night["verdict"] == "held"
    assert all(MARK.fullmatch(key) for key in night["controls"])
    assert approved.returncode == 0, approved.stderr
    assert sorted(event["data"]["key"] for event in receiver.events) == [person(number)["email"] for number in range(5)]
    assert not PERSON.search((json.dumps(night) + approved.stdout + approved.stderr).encode())
