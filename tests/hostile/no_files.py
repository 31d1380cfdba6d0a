"""What is no file where a file is asked for: pipes, sockets, devices, links in a ring, files of 50 GB, folders."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from hostile.corpus import ROLES, Harmless, Make, register
from hostile.pickles import diffusers, pythae

EVERY = tuple(ROLES)
FILES = tuple(role for role in EVERY if role not in {"config here", "details", "inspected"})
HUGE = 50 * 10**9


def bound(path: Path) -> None:
    # the name of a socket must be short
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def sparse(path: Path) -> None:
    with path.open("wb") as out:
        out.truncate(HUGE)


def sparse_after(start: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(start)
        with path.open("r+b") as out:
            out.truncate(HUGE)

    return make


def unreadable(path: Path) -> None:
    path.write_bytes(b"a = 1\n")
    path.chmod(0)


KINDS: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a socket": bound,
    "a folder": Path.mkdir,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a link to /dev/stdin": lambda path: path.symlink_to("/dev/stdin"),
    "a link to a process's memory": lambda path: path.symlink_to("/proc/self/mem"),
    "a link to a pipe": lambda path: (os.mkfifo(path.with_name("pipe")), path.symlink_to("pipe")),
    "50 GB of zeros": sparse,
    "unreadable": unreadable,
}


def made_by(write: Callable[[Path], object]) -> Make:
    return lambda path, _: write(path)


for kind, write in KINDS.items():
    large = "50 GB" in kind
    register(f"no file: {kind}", made_by(write), "given", *FILES, sparse=large)
    register(f"no file: {kind}, as details", made_by(write), "base.details", "details", sparse=large)
    if kind != "a link to nothing":
        register(
            f"no file: {kind}, as circuitprobe.toml", made_by(write), "circuitprobe.toml", "config here", sparse=large
        )

STARTS = {
    "a pickle": (b"\x80\x02", ("model", "data")),
    "a pickle of protocol 0": (b"(dp0\n", ("model",)),
    "a zip archive": (b"PK\x03\x04" + bytes(26), ("model", "data")),
    "safetensors": (b"\x40" + bytes(7) + b'{"w": 1}', ("model",)),
    "a tar archive": (bytes(257) + b"ustar", ("model", "study")),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(6), ("data", "study")),
    "numpy": (
        b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1250000000, 10), }\n",
        ("data",),
    ),
    "CSV": (b"height,weight,income,city,smoker\n1,2,3,a,b\n", ("data",)),
    "CSV with a quote": (b'height,weight,income,city,smoker\n1,2,3,a,"', ("data",)),
    "Parquet": (b"PAR1", ("data",)),
    "JSON": (b'{"baseline_version": "1"', ("model", "baseline", "audit", "study audit", "study record")),
    "TOML": (b"a = 1\n", ("schema", "groups", "spec", "config", "study plan")),
    "PNG": (b"\x89PNG\r\n\x1a\n", ("data", "model")),
}
for kind, (start, roles) in STARTS.items():
    register(f"50 GB that begin as {kind}", made_by(sparse_after(start)), "given", *roles, sparse=True)


def within(make: Make, name: str, write: Callable[[Path], object]) -> Make:
    """A folder in which one file is none."""

    def made(path: Path, good: Harmless) -> None:
        make(path, good)
        (path / name).unlink(missing_ok=True)
        (path / name).parent.mkdir(exist_ok=True)
        write(path / name)

    return made


def pictures(path: Path, _: Harmless) -> None:
    from hostile.bombs import picture

    path.mkdir()
    for number in range(3):
        (path / f"{number}.png").write_bytes(picture(8, 8, 0, 8))


UNET = "diffusion_pytorch_model"
PLACES: dict[str, tuple[Make, str]] = {
    "pythae's model.pt": (pythae(), "model.pt"),
    "pythae's model_config.json": (pythae(), "model_config.json"),
    "pythae's environment.json": (pythae(), "environment.json"),
    "pythae's encoder.pkl": (pythae(), "encoder.pkl"),
    "pythae's other": (pythae(), "inner/other"),
    "diffusers' config.json": (diffusers(f"{UNET}.bin", b"1"), "config.json"),
    "diffusers' bin": (diffusers(f"{UNET}.bin", b"1"), f"{UNET}.bin"),
    "diffusers' safetensors": (diffusers(f"{UNET}.safetensors", b"1"), f"{UNET}.safetensors"),
    "a picture": (pictures, "1.png"),
    "a picture in a folder": (pictures, "inner/4.png"),
}
for place, (make, name) in PLACES.items():
    for kind in ("a pipe", "a link to /dev/zero", "50 GB of zeros", "a link to itself"):
        role = "data" if "picture" in place else "model"
        register(f"{place} is {kind}", within(make, name, KINDS[kind]), "saved", role, sparse="50 GB" in kind)


register(
    "pictures in a ring of folders", within(pictures, "a.png", lambda path: path.symlink_to("..")), "saved", "data"
)


def deep(path: Path, good: Harmless) -> None:
    pythae()(path, good)
    inner = path
    for _ in range(400):
        inner = inner / "d"
        inner.mkdir()


register("pythae's folder that is 400 deep", deep, "saved", "model")
