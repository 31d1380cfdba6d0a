"""A connection to a Ray cluster, or a cluster on this machine for as long as a study runs."""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import socket
import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

from circuitprobe.errors import UsageError
from circuitprobe.study.executors import cores

ANSWER = 10.0
"""Seconds that a cluster has to take a connection."""

MISSES = 2
"""How often in a row it fails to before it counts as gone."""

CLIENT = "ray"
EXPECTED = "ray://host:10001 from anywhere, host:6379 or auto from a node of the cluster"


@dataclass
class Cluster:
    """A cluster that this process is connected to.

    Attributes:
        ray: the module.
        shown: its address, for messages.
        head: host and port of its head, to see whether it is there; None where the connection itself tells.
        gone: whether it has ceased to answer.
    """

    ray: ModuleType
    shown: str
    head: tuple[str, int] | None
    gone: bool = False
    _misses: int = field(default=0, repr=False)

    def cpus(self) -> int:
        """CPUs of all its nodes."""
        return int(self.ray.cluster_resources().get("CPU", 0))

    def answers(self) -> bool:
        """Whether its head takes connections; to be asked first where Ray would wait a minute for it and then end this process.

        Raises:
            UsageError: not for the second time in a row.
        """
        reason = "" if self.head is None else _unreachable(self.head)
        self._misses = self._misses + 1 if reason else 0
        if self._misses >= MISSES:
            raise self._is_gone(reason)
        return not reason

    @contextmanager
    def reached(self) -> Iterator[None]:
        """What Ray raises inside when it has lost the cluster, in words.

        Raises:
            UsageError: the cluster is gone.
        """
        try:
            yield
        except (OSError, self.ray.exceptions.RayError) as error:
            raise self._is_gone(_words(error)) from error

    def leave(self) -> None:
        """Disconnect; a cluster that was started here ends."""
        with suppress(OSError, RuntimeError, self.ray.exceptions.RayError):
            self.ray.shutdown()

    def _is_gone(self, reason: str) -> UsageError:
        self.gone = True
        return UsageError(
            f"the Ray cluster at {self.shown} is gone: {reason}",
            expected="a head that lives as long as the study; finished runs are kept",
            fix="start the cluster again, then the same command: it goes on",
        )


def connected(address: str | None, workers: int | None) -> Cluster:
    """Connect to the cluster at an address, or start one here.

    Args:
        address: see ``RayExecutor.connect``.
        workers: CPUs of a cluster that is started here; default the cores that this process may use.

    Raises:
        UsageError: ray is not installed, this process is connected already, or no such cluster answers.
    """
    end = None if address is None or address == "auto" else _parsed(address)
    # read as Ray is imported: without it gRPC tells of every process that is begun
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if address is not None:
        # else it tries for a quarter of an hour where something listens that is no Ray
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "2")
    ray = _ray()
    if ray.is_initialized():
        raise UsageError(
            "this process is connected to a Ray cluster already",
            expected="no connection, for there can be only one",
            fix="ray.shutdown() first",
        )
    if end is not None:
        reason = _unreachable(end)
        if reason:
            raise _no_cluster(str(address), reason)
    try:
        # Ray gives its workers the current folder to import from, before installed packages: so it is one they have already
        with warnings.catch_warnings(action="ignore"), chdir(sysconfig.get_paths()["stdlib"]):
            _init(ray, address, workers)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        with suppress(OSError, RuntimeError, ray.exceptions.RayError):
            ray.shutdown()
        raise _refused(ray, address, error) from error
    by_client = end is not None and urlsplit(str(address)).scheme == CLIENT
    return Cluster(ray, address or "this machine", None if by_client or address is None else _head(ray))


def _ray() -> ModuleType:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise UsageError(
            "--executor ray, and Ray is not installed",
            expected="the extra ray of circuitprobe",
            fix="pip install 'circuitprobe[ray]', here and on every node",
        ) from error


def _init(ray: ModuleType, address: str | None, workers: int | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is not None:
        ray.init(address=address, **quiet)
        return
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if not _has_token():
        # else Ray makes one for good, in the home folder, and later clusters of the user's change their ways
        os.environ["RAY_AUTH_TOKEN"] = _token()
    ray.init(address="local", num_cpus=workers or cores(), include_dashboard=False, **quiet)


def _has_token() -> bool:
    told = any(name in os.environ for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return told or (Path.home() / ".ray" / "auth_token").exists()


@cache
def _token() -> str:
    """One per process: Ray reads it once."""
    return secrets.token_hex(32)


def _parsed(address: str) -> tuple[str, int]:
    wrong = UsageError(f"--address {address}", expected=EXPECTED, fix="--address ray://HEAD:10001")
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise wrong from error
    if parts.scheme not in ("", CLIENT) or not host or port is None or parts.path:
        raise wrong
    return host, port


def _unreachable(end: tuple[str, int]) -> str:
    """Why nothing takes connections there; "" where something does."""
    try:
        with socket.create_connection(end, timeout=ANSWER):
            return ""
    except TimeoutError:
        return f"no answer within {ANSWER:.0f} s"
    except OSError as error:
        return error.strerror or str(error)


def _head(ray: ModuleType) -> tuple[str, int]:
    host, _, port = str(ray.get_runtime_context().gcs_address).rpartition(":")
    return host, int(port)


def _refused(ray: ModuleType, address: str | None, error: BaseException) -> UsageError:
    if address is None:
        return UsageError(
            f"Ray cannot start on this machine: {_words(error)}",
            expected="a Ray that runs",
            fix="--executor local, which needs none",
        )
    asked = getattr(ray.exceptions, "AuthenticationError", ())
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, asked) or "InvalidAuthToken" in str(seen):
            return _no_cluster(address, "it asks for a token", "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN=the cluster's")
        seen = seen.__cause__ or seen.__context__
    return _no_cluster(address, _words(error))


def _no_cluster(
    address: str, reason: str, fix: str = "ray start --head there, and the same Ray, Python and token here"
) -> UsageError:
    return UsageError(f"no Ray cluster that can be used at {address}: {reason}", expected=EXPECTED, fix=fix)


def _words(error: BaseException) -> str:
    """One line of what Ray says, which may be a traceback under a heading."""
    lines = (str(error).strip() or type(error).__name__).splitlines()
    return f"{lines[0]} {lines[-1].strip()}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]
