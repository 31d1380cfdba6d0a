"""Runs commands in processes forked from this one, which has imported everything, and measures what each takes.

Reads a line of JSON per command from standard input: ``folder`` and ``arguments``; answers a line of JSON: ``code``, ``seconds``
of CPU, ``bytes`` of resident memory at its peak, ``killed`` (why, or ""), ``text`` (both streams).
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

CPU_SECONDS, IDLE_SECONDS = 21, 3
MOST_MEMORY = 1500 * 2**20
LONGEST_OUTPUT = 64 * 2**20
PAGE = resource.getpagesize()
# what commands import on their way; what only an attack would need is imported by the process that is attacked
NEEDED = (
    "circuitprobe.auditing",
    "circuitprobe.checking",
    "circuitprobe.cli",
    "circuitprobe.inspecting",
    "circuitprobe.loading",
    "circuitprobe.shell",
    "circuitprobe.report.terminal",
    "circuitprobe.study.reporting",
    "circuitprobe.gate.compare",
    "circuitprobe.gate.terminal",
    "circuitprobe.adapters.models.exported",
    "circuitprobe.adapters.families",
    "PIL.Image",
    "PIL.PngImagePlugin",
    "PIL.JpegImagePlugin",
    "pyarrow.parquet",
    "pyarrow.csv",
    "pyarrow.compute",
    "pandas",
    "safetensors.torch",
    "scipy.stats",
    "scipy.special",
    "scipy.cluster.hierarchy",
    "scipy.optimize",
    "sklearn.linear_model",
    "statsmodels.stats.multitest",
    "torch.export",
    "torch.fx",
    "sympy",
    "torch.utils._sympy.functions",
    "torch.fx.experimental.symbolic_shapes",
    "torch.export.passes",
    "torch._dynamo",
    "torch._export.serde.serialize",
)


def run(folder: str, arguments: list[str], out: str) -> dict[str, Any]:
    """One command in a child; ended where it takes too much."""
    child = os.fork()
    if not child:
        _in_child(folder, arguments, out)
    killed = _watch(child)
    _, status, usage = os.wait4(child, 0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "seconds": usage.ru_utime + usage.ru_stime,
        "bytes": usage.ru_maxrss * 1024,
        "killed": killed,
        "text": Path(out).read_bytes().decode("utf-8", "replace"),
    }


def _watch(child: int) -> str:
    """Wait for the end of a child, or bring it about."""
    handle, worked, since = os.pidfd_open(child), "", time.monotonic()
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    try:
        while not poll.poll(20):
            resident = int(Path(f"/proc/{child}/statm").read_text().split()[1]) * PAGE
            if resident > MOST_MEMORY:
                os.kill(child, signal.SIGKILL)
                return f"over {MOST_MEMORY >> 20} MiB"
            # clock ticks of user and system time
            ticks = " ".join(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11:13])
            if ticks != worked:
                worked, since = ticks, time.monotonic()
            elif time.monotonic() - since > IDLE_SECONDS:
                os.kill(child, signal.SIGKILL)
                return "waits for something"
    finally:
        os.close(handle)
    return ""


def _in_child(folder: str, arguments: list[str], out: str) -> None:
    import circuitprobe.shell

    code = 1
    try:
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        written = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(written, 1)
        os.dup2(written, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
        resource.setrlimit(resource.RLIMIT_FSIZE, (LONGEST_OUTPUT, LONGEST_OUTPUT))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.argv = ["circuitprobe", *arguments]
        circuitprobe.shell.main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - nothing of a child may reach the loop of its parent
        traceback.print_exc()
    finally:
        os._exit(code)


def main() -> None:
    """Answer until standard input ends."""
    out = sys.argv[1]
    for name in NEEDED:
        importlib.import_module(name)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        asked = json.loads(line)
        sys.stdout.write(json.dumps(run(asked["folder"], asked["arguments"], out)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
