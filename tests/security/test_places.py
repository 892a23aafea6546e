"""Symbolic links in the places that a night writes to: refused with words, never followed."""

from pathlib import Path

import pytest

from recon.errors import LocalFault
from recon.files import private_folder
from recon.state.database import State
from tests.security.people import People
from tests.servers.fault_server import fault_server
from tests.servers.receiver import Receiver

__all__ = ["fault_server"]


def test_a_state_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """Where the state file would lie there is a link to another file: nothing is opened, and that file stays as it is."""
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "state.db").symlink_to(tmp_path / "precious")

    with pytest.raises(LocalFault):
        State.open(f"sqlite:///{tmp_path}/state.db")
    assert (tmp_path / "precious").read_text() == "kept"


@pytest.mark.parametrize("name", ["runs", "reports"])
def test_a_folder_that_is_a_link_is_refused(name: str, tmp_path: Path) -> None:
    """A folder of a run or of a report that is a link is not written to, and the message says that none is followed."""
    (tmp_path / "precious").mkdir()
    (tmp_path / name).symlink_to(tmp_path / "precious")

    with pytest.raises(LocalFault) as caught:
        private_folder(tmp_path / name)
    assert "recon follows none" in (caught.value.hint or "")
    assert list((tmp_path / "precious").iterdir()) == []


def test_a_reports_folder_that_is_a_link_costs_the_report_and_nothing_else(tmp_path: Path, fault_server, receiver: Receiver) -> None:
    """With the index's folder led elsewhere by a link, nothing is written there; what was found is sent all the same."""
    made = People(tmp_path, fault_server, receiver)
    made.sql("update people set plan = 'odd' where rowid = 1")
    (tmp_path / "precious").mkdir()
    (tmp_path / "reports").symlink_to(tmp_path / "precious")
    night = made.run()

    assert [path.name for path in (tmp_path / "precious").iterdir() if path.name == "index.html"] == []
    assert "no report was written" in night["problem"]["message"]
    assert len(receiver.events) == 1
