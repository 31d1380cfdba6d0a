"""A Ray cluster of two nodes on this machine: two addresses of the loopback network, one CPU each."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

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


@dataclass
class Nodes:
    """The processes, and where they are reached."""

    home: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="cpr", dir="/tmp")))  # noqa: S108 - sockets need short paths
    port: int = field(default_factory=lambda: free_port())
    client_port: int = field(default_factory=lambda: free_port())
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The nodes' environment: a token of their own, a loss seen soon, no word to anyone outside."""
        (self.home / "sitecustomize.py").write_text(FAULT.format(flag=str(self.full_disk)))
        self.environment = {
            **os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "4",
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
        wait_for(lambda: all(len(self.processes(node)) > 4 for node in (HEAD, WORKER)))

    def _node(self, ip: str, *options: str) -> None:
        ray = Path(sys.executable).with_name("ray")
        common = (f"--node-ip-address={ip}", "--num-cpus=1", "--block", "--disable-usage-stats")
        with (self.home / f"{ip}.log").open("wb") as log:
            self.started[ip] = subprocess.Popen(
                [str(ray), "start", *options, *common], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env={**self.environment, "PYTHONPATH": str(self.home)}, cwd=self.home, start_new_session=True,
            )  # fmt: skip

    def processes(self, ip: str) -> list[psutil.Process]:
        """A node's processes, its own first."""
        try:
            first = psutil.Process(self.started[ip].pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def at_work(self, ip: str) -> bool:
        """Whether a run is made there."""
        for process in self.processes(ip):
            with suppress(psutil.Error):
                if RUN in process.cmdline():
                    return True
        return False

    def kill(self, ip: str) -> None:
        """As if its plug were pulled."""
        for process in self.processes(ip):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.started[ip].wait()

    def stop(self) -> None:
        """End what was started and nothing else."""
        for ip in self.started:
            self.kill(ip)
        shutil.rmtree(self.home, ignore_errors=True)


def free_port() -> int:
    """A port that nobody listens to."""
    with socket.socket() as found:
        found.bind((HEAD, 0))
        port: int = found.getsockname()[1]
        return port


def reachable(host: str, port: int) -> bool:
    """Whether something takes connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def wait_for(happened: Callable[[], bool], seconds: float = 60) -> None:
    """Until something is so."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
