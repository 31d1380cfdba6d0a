"""A Ray cluster of two nodes on this machine: two addresses of the loopback network, one CPU each."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

HEAD, WORKER = "127.0.0.2", "127.0.0.3"
RUN = "circuitprobe.study.worker"
FAULT = """\
import errno, os, sys, tempfile
if os.path.exists({flag!r}):
    # the disk of this node is full for whatever a run writes
    real = os.fsync
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync = full
"""


def free_port() -> int:
    """A port that nobody listens to."""
    with socket.socket() as found:
        found.bind((HEAD, 0))
        port: int = found.getsockname()[1]
        return port


JOINED = """
import sys, time
import ray
ray.init(sys.argv[1], log_to_driver=False)
while ray.cluster_resources().get("CPU", 0) < 2:
    time.sleep(0.1)
"""
"""Ends once both nodes have told the head of their CPUs."""
JOINING = 100
"""Seconds that a cluster has for it, before another one is begun."""
ATTEMPTS = 3


@dataclass
class Nodes:
    """The processes, and where they are reached."""

    home: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="cpr", dir="/tmp")))
    port: int = field(default_factory=free_port)
    client_port: int = field(default_factory=free_port)
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The nodes' environment: a token of their own, a loss seen soon, no word to anyone outside."""
        (self.home / "sitecustomize.py").write_text(FAULT.format(flag=str(self.full_disk)))
        self.environment = {
            **os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "8", "PYTHONUNBUFFERED": "1",
            # seconds for a client's server to begin: importing Ray alone may take a busy machine half a minute
            "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": str(JOINING),
        }  # fmt: skip

    @property
    def full_disk(self) -> Path:
        """While this file is there, runs find their disk full."""
        return self.home / "full"

    @property
    def client(self) -> str:
        """For a machine outside the cluster."""
        return f"ray://{HEAD}:{self.client_port}"

    @property
    def address(self) -> str:
        """For one of its nodes."""
        return f"{HEAD}:{self.port}"

    def start(self) -> None:
        """Both nodes, ready for tasks."""
        self._node(
            HEAD, "--head", f"--port={self.port}", f"--ray-client-server-port={self.client_port}", f"--temp-dir={self.home}"
        )  # fmt: skip
        wait_for(lambda: reachable(HEAD, self.port))
        self._node(WORKER, f"--address={HEAD}:{self.port}")
        wait_for(lambda: reachable(HEAD, self.client_port))
        wait_for(lambda: all("Ray runtime started" in self._log(node).read_text() for node in (HEAD, WORKER)))
        # a node that has started may not be known to the head yet, which would then make all runs by itself
        asking = [sys.executable, "-c", JOINED, self.client]
        subprocess.run(asking, env=self.environment, cwd=self.home, timeout=JOINING, check=True)

    def logs(self) -> str:
        """What the nodes and their clients' servers said."""
        found = [self._log(ip) for ip in self.started]
        found += sorted((self.home / "session_latest" / "logs").glob("ray_client_server*"))
        return "\n".join(f"{path.name}:\n{path.read_text(errors='replace')[-2000:]}" for path in found)

    def _node(self, ip: str, *options: str) -> None:
        ray = Path(sys.executable).with_name("ray")
        common = (f"--node-ip-address={ip}", "--num-cpus=1", "--block", "--disable-usage-stats")
        with self._log(ip).open("wb") as log:
            self.started[ip] = subprocess.Popen(
                [str(ray), "start", *options, *common], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env={**self.environment, "PYTHONPATH": str(self.home), "TMPDIR": str(self.home)},
                cwd=self.home, start_new_session=True,
            )  # fmt: skip

    def _log(self, ip: str) -> Path:
        return self.home / f"{ip}.log"

    def processes(self, ip: str) -> list[int]:
        """A node's processes, its own first."""
        children = children_by_parent()
        found = [self.started[ip].pid]
        for process in found:
            found += children.get(process, [])
        return found

    def at_work(self, ip: str) -> bool:
        """Whether a run is made there."""
        return any(RUN in told for process in self.processes(ip) for told in command_line(process))

    def kill(self, ip: str) -> None:
        """As if its plug were pulled."""
        if self.started[ip].poll() is not None:
            return
        for process in self.processes(ip):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.started[ip].wait()

    def stop(self) -> None:
        """End what was started and nothing else."""
        for ip in self.started:
            self.kill(ip)
        shutil.rmtree(self.home, ignore_errors=True)


def started_nodes() -> Nodes:
    """A cluster that has served a client.

    Now and then the server that Ray begins for a client on a busy machine neither answers nor ends; then another cluster is
    begun, and what the failed one said is told only when none works.
    """
    # the first import of Ray in a fresh environment compiles and reads hundreds of megabytes: once, not in each process
    subprocess.run([sys.executable, "-c", "import ray.util.client.server.proxier"], check=True)
    told = []
    for _ in range(ATTEMPTS):
        made = Nodes()
        try:
            made.start()
        except (AssertionError, subprocess.SubprocessError) as error:
            told.append(f"{error}\n{made.logs()}")
            made.stop()
        except BaseException:
            made.stop()
            raise
        else:
            return made
    raise AssertionError("\n\n".join(told))


def reachable(host: str, port: int) -> bool:
    """Whether something takes connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def wait_for(happened: Callable[[], bool], seconds: float = 200) -> None:
    """Until something is so."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def children_by_parent() -> dict[int, list[int]]:
    """All processes of this machine by the one that began them."""
    found: dict[int, list[int]] = {}
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            with suppress(OSError):
                # after the name, which may hold anything and ends with the last bracket: state, parent
                parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
                found.setdefault(parent, []).append(int(place.name))
    return found


def command_line(process: int) -> list[str]:
    """What a process was begun with."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text().split("\0")
    except OSError:
        return []
