"""Files made to run code: through the real command line and the library nothing of them runs, and what they would is named."""

from __future__ import annotations

import functools
import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import circuitprobe as cp
from circuitprobe.errors import CircuitProbeError

CANARY = "canary"


class Opens:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (CANARY, "w")


class Evaluates:
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"open({CANARY!r}, 'w')",)


class LoadsFile:
    """Hands a second file to torch.load without its guard."""

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(torch.load, weights_only=False), ("second.pt",)


class LoadsBytes:
    """A way to full unpickling inside torch's own namespace."""

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.storage._load_from_bytes, (saved(Opens()),)


class LoadsHub:
    def __reduce__(self) -> tuple[Any, ...]:
        return torch.hub.load, (".", "make")


class ByRebuild:
    """A gadget on torch's own list that calls what it is given."""

    def __reduce__(self) -> tuple[Any, ...]:
        return torch._tensor._rebuild_from_type_v2, (open, torch.Tensor, (CANARY, "w"), {})


class Attributes:
    """Reaches a function by getattr, so that its name is no global."""

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr(pickle, "loads"), (pickle.dumps(Opens()),)  # noqa: B009


def saved(content: object, **options: Any) -> bytes:
    out = io.BytesIO()
    torch.save(content, out, **options)
    return out.getvalue()


def memoized() -> bytes:
    """STACK_GLOBAL with its two strings out of the memo, in the other order than they were pushed."""

    def text(value: bytes) -> bytes:
        return b"\x8c" + bytes([len(value)]) + value + b"\x94"

    return (
        b"\x80\x04" + text(b"open") + b"0" + text(b"io") + b"0h\x01h\x00\x93(" + text(b"canary") + text(b"w") + b"tR."
    )


def by_memo_numbers() -> bytes:
    """The same with PUT and GET of protocol 0 around decoys."""
    return b"\x80\x04Vharmless\np5\n0Vopen\np7\n0Vio\np9\n0g9\ng7\n\x93(Vcanary\nVw\ntR."


def with_instance() -> bytes:
    """Protocol 0's INST, which names and calls in one."""
    return b"(Vcanary\nVw\niio\nopen\n."


def tar(path: Path) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            info = tarfile.TarInfo(name)
            content = pickle.dumps(Opens(), protocol=2)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def archive(path: Path, entries: list[tuple[str, bytes]]) -> None:
    with zipfile.ZipFile(path, "w") as out:
        for name, content in entries:
            out.writestr(name, content)


def two_pickles(path: Path) -> None:
    innocent = pickle.dumps({"a": 1}, protocol=2)
    archive(path, [("m/data.pkl", innocent), ("m/other.pkl", pickle.dumps(Opens())), ("m/version", b"3")])


def same_name_twice(path: Path) -> None:
    innocent = pickle.dumps({"a": 1}, protocol=2)
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive(path, [("m/data.pkl", pickle.dumps(Opens())), ("m/data.pkl", innocent), ("m/version", b"3")])


def lightning(path: Path) -> None:
    content = {"pytorch-lightning_version": "2.4.0", "state_dict": nn.Linear(2, 2).state_dict(), "callbacks": Opens()}
    torch.save(content, path)


def exported(path: Path) -> None:
    program = torch.export.export(nn.Linear(2, 2), (torch.ones(2, 2),))
    torch.export.save(program, path.with_name("ok.pt2"))
    with zipfile.ZipFile(path.with_name("ok.pt2")) as source, zipfile.ZipFile(path, "w") as out:
        for name in source.namelist():
            out.writestr(name, saved(Opens()) if "sample_inputs" in name else source.read(name))


def numpy_file(path: Path) -> None:
    """An array of objects, which numpy itself unpickles when told to."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + pickle.dumps(Opens())
    archive(path, [("x.npy", content)])


def pythae(path: Path) -> None:
    path.mkdir()
    (path / "model_config.json").write_text(json.dumps({"name": "VAEConfig"}))
    torch.save({"model_state_dict": nn.Linear(2, 2).state_dict()}, path / "model.pt")
    (path / "encoder.pkl").write_bytes(pickle.dumps(Opens()))


def write(content: Callable[[], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content())


# how the file is made, what it is called, what the message must name
CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    **{f"protocol {p}": (write(lambda p=p: pickle.dumps(Opens(), protocol=p)), "m.pt", "io.open") for p in range(6)},
    "zip": (write(lambda: saved({"state_dict": Opens()})), "m.pt", "io.open"),
    "zip, protocol 4": (write(lambda: saved([Opens()], pickle_protocol=4)), "m.pt", "io.open"),
    "before zip": (write(lambda: saved(Opens(), _use_new_zipfile_serialization=False)), "m.pt", "io.open"),
    "tar": (tar, "m.pt", "io.open"),
    "in a Lightning checkpoint": (lightning, "m.ckpt", "Lightning checkpoint"),
    "called safetensors": (write(lambda: pickle.dumps(Opens())), "m.safetensors", "io.open"),
    "called pt2": (write(lambda: saved(Opens())), "m.pt2", "io.open"),
    "in a pt2": (exported, "e.pt2", "more than tensors in its sample inputs"),
    "called npz": (write(lambda: pickle.dumps(Opens())), "m.npz", "io.open"),
    "in an npz": (numpy_file, "m.npz", "numpy arrays"),
    "pythae": (pythae, "saved", "io.open"),
    "second pickle": (two_pickles, "m.pt", "holds a dict"),
    "one name twice": (same_name_twice, "m.pt", "data.pkl twice"),
    "memo": (write(memoized), "m.pt", "io.open"),
    "memo by number": (write(by_memo_numbers), "m.pt", "io.open"),
    "INST": (write(with_instance), "m.pt", "io.open"),
    "eval": (write(lambda: saved(Evaluates())), "m.pt", "builtins.eval"),
    "torch.load": (write(lambda: saved(LoadsFile())), "m.pt", "torch.serialization.load"),
    "torch.hub": (write(lambda: saved(LoadsHub())), "m.pt", "torch.hub.load"),
    "torch.storage": (write(lambda: saved(LoadsBytes())), "m.pt", "torch.storage._load_from_bytes"),
    "rebuild": (write(lambda: saved(ByRebuild())), "m.pt", "io.open"),
    "pickle in pickle": (write(lambda: saved(Attributes())), "m.pt", "pickle.loads"),
    "in a tensor's place": (write(lambda: saved({"w": torch.ones(2), "v": Evaluates()})), "m.pt", "builtins.eval"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def second_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what is tried would leave its mark, with what the gadgets look for."""
    monkeypatch.chdir(tmp_path)
    torch.save(Opens(), "second.pt")
    Path("hubconf.py").write_text(f"open({CANARY!r}, 'w')\ndef make(): pass\n")


@pytest.mark.parametrize("case", CASES)
def test_nothing_runs_and_the_message_names_it(command: Callable[..., Any], csv: Path, case: str) -> None:
    make, name, word = CASES[case]
    make(Path(name))
    for arguments in (("inspect", name), ("inspect", name, csv), ("audit", name, csv)):
        done = command(*arguments)
        assert done.code == 2, done.err
        assert word in done.err
        assert "expected:" in done.err
        assert "Traceback" not in done.err
        assert "internal error" not in done.err
    with pytest.raises(CircuitProbeError):
        cp.load(name, factory="no_such_module:make")
    with pytest.raises(CircuitProbeError):
        cp.audit(name, csv)
    assert not Path(CANARY).exists()


@pytest.mark.parametrize("content", [memoized, by_memo_numbers, with_instance])
def test_the_canaries_are_live(content: Callable[[], bytes]) -> None:
    pickle.loads(content()).close()
    assert Path(CANARY).exists()


@pytest.mark.parametrize("gadget", [Evaluates, LoadsFile, LoadsBytes, Attributes])
def test_the_gadgets_are_live(command: Callable[..., Any], gadget: Any) -> None:
    Path("m.pt").write_bytes(saved(gadget()))
    assert command("inspect", "m.pt", "--trust").code == 2
    assert Path(CANARY).exists()
