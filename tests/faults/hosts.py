"""Two hosts on one machine: network namespaces, each with a link of its own to us, that can be cut. Needs root, and iproute2.

As on real hosts, nothing tells either side that the other is gone: what is sent is lost in silence.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Host:
    """A namespace `name`; `here` is our address on its link, `link` our end of it."""

    name: str
    link: str
    here: str
    network: str

    @property
    def within(self) -> tuple[str, ...]:
        """What a command line begins with that is to run there."""
        return "ip", "netns", "exec", self.name

    def cut(self) -> None:
        """The cable is pulled."""
        ip("link", "set", self.link, "down")

    def mended(self) -> None:
        """And put back."""
        ip("link", "set", self.link, "up")


def ip(*words: str) -> None:
    """iproute2's command; raises with what it said."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=20)
    if done.returncode:
        msg = f"ip {' '.join(words)}: {done.stderr.strip()}"
        raise OSError(msg)


def lacking() -> str:
    """Why there can be no hosts here; nothing where there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need iproute2"
    name = f"recon-try-{os.getpid()}"
    try:
        ip("netns", "add", name)
        ip("netns", "del", name)
    except OSError as error:
        return f"this kernel allows no network namespaces: {error}"
    return ""


@contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """So many, with addresses from 198.18.0.0/15, which is for tests (RFC 2544)."""
    with ExitStack() as stack:
        yield [_made(stack, number) for number in range(count)]


def _made(stack: ExitStack, number: int) -> Host:
    # Links are known to the whole machine, so their names and addresses carry the process's number.
    block = 4 * ((4 * os.getpid() + number) % 16384)
    stem = f"198.18.{block // 256}"
    host = Host(f"recon-{os.getpid()}-{number}", f"rc{os.getpid()}n{number}", f"{stem}.{block % 256 + 1}", f"{stem}.{block % 256}/30")
    ip("netns", "add", host.name)
    stack.callback(ip, "netns", "del", host.name)
    ip("link", "add", host.link, "type", "veth", "peer", "name", "eth0", "netns", host.name)
    stack.callback(ip, "link", "del", host.link)
    ip("addr", "add", f"{host.here}/30", "dev", host.link)
    host.mended()
    ip("-n", host.name, "addr", "add", f"{stem}.{block % 256 + 2}/30", "dev", "eth0")
    for device in ("lo", "eth0"):
        ip("-n", host.name, "link", "set", device, "up")
    return host
