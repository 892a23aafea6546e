"""The tables of the pages on publishers, each as typed: a project that has it makes the publisher."""

import base64
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from recon.project import Project
from recon.publishers.base import Publisher
from tests.servers.authority import Authority

DOCS = Path(__file__).resolve().parents[2] / "docs"
SECRETS = {
    "AMQP_URL": "amqp://recon:word@127.0.0.1:1/vhost",
    "DATABASE_URL_WRITER": "postgresql+psycopg://127.0.0.1:1/shop",
    "EVENTS_DATABASE_URL": "postgresql+psycopg://127.0.0.1:1/events",
    "HOOK_SECRET": f"whsec_{base64.b64encode(bytes(range(32))).decode()}",
    "KAFKA_KEY_PASSWORD": "key-word",
    "KAFKA_PASSWORD": "kafka-word",
    "MQTT_PASSWORD": "mqtt-word",
    "REDIS_URL": "redis://127.0.0.1:1/0",
}
GLOBAL_ENDPOINT = re.compile(r"^endpoint_id.*\n", re.MULTILINE)
"""Needs a library that is not installed here, which the page says."""


def tables() -> Iterator[object]:
    """Each table that declares a publisher; a table of its options goes with it."""
    for page in sorted(DOCS.glob("publishers*.md")):
        blocks = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        found = [block for block in blocks if re.match(r"\[publishers\.\w+\]", block)]
        for number, block in enumerate(found):
            options = [one for one in blocks if re.match(r"\[publishers\.\w+\.options\]", one)]
            yield pytest.param("\n".join([block, *options]), id=f"{page.stem}-{number}")


@pytest.mark.parametrize("table", [*tables()])
def test_what_a_page_declares_is_taken(table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a folder that is not the current one, with its secrets in the environment; no destination is asked."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.chdir(tmp_path)
    project_folder = tmp_path / "project"
    _client_certificate(project_folder)
    needed = GLOBAL_ENDPOINT.sub("", table) if find_spec("awscrt") is None else table
    # The page names a job whose file and store are told of elsewhere.
    (project_folder / "recon.toml").write_text(re.sub(r"\[jobs\.\w+\]\n.*\n", "", needed), encoding="utf-8")
    names = re.findall(r"^\[publishers\.(\w+)\]", table, re.MULTILINE)

    project = Project.find(project_folder)
    made = [project.publisher(name) for name in names]
    project.close()

    assert all(isinstance(one, Publisher) for one in made)
    assert [one.name for one in made] == names


def _client_certificate(folder: Path) -> None:
    """`client.pem` and `client.key` as a page has them: the key needs its password."""
    made = Authority(folder)
    _, key = made.made("client")
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(SECRETS["KAFKA_KEY_PASSWORD"].encode())
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
