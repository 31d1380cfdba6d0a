"""TorchScript, which is a program: calls that write files in every spelling, and every container it can lie in."""

from __future__ import annotations

import functools
import io
import re
import tarfile
import zipfile
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hostile.corpus import CANARY, content, register
from hostile.pickle_tools import zipped
from hostile.pickles import diffusers, pythae

WIDTH = 9
ONLY = ("model", "data")


class Halves(nn.Module):
    """A VAE that would be recognised by its methods."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.log_var, self.out = nn.Linear(WIDTH, 2), nn.Linear(WIDTH, 2), nn.Linear(2, WIDTH)

    @torch.jit.export
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean(x), self.log_var(x)

    @torch.jit.export
    def decode(self, z: Tensor) -> Tensor:
        return self.out(z)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_var = self.encode(x)
        return self.decode(mean), mean, log_var


@functools.cache
def plain(extra: bool = False) -> bytes:
    """The compiled module, harmless as a computation."""
    torch.manual_seed(0)
    out = io.BytesIO()
    files = {"canary.py": f"open({CANARY!r}, 'w')", "data.pkl": "cio\nopen\n."} if extra else {}
    torch.jit.save(torch.jit.script(Halves().eval()), out, _extra_files=files)
    return out.getvalue()


def entries(archived: bytes) -> dict[str, bytes]:
    """An archive's entries by name."""
    with zipfile.ZipFile(io.BytesIO(archived)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def with_statement(statement: str) -> bytes:
    """The module with a statement at the beginning of each of its functions."""
    changed = entries(plain())
    for name, code in changed.items():
        if name.endswith(".py"):
            body = re.sub(r"(  def [^{]*?:\n)(?=    )", lambda found: f"{found[1]}    {statement}\n", code.decode())
            changed[name] = body.encode()
    return zipped(changed)


def renamed(change: Callable[[str], str]) -> bytes:
    return zipped({change(name): stored for name, stored in entries(with_statement(SAVE)).items()})


SAVE = f'torch.save(1, "{CANARY}")'
STATEMENTS = {
    "torch.save": SAVE,
    "ops.aten.save": f'ops.aten.save(1, "{CANARY}")',
    "ops.aten.from_file": f'print(ops.aten.from_file("{CANARY}", True, 9))',
    "from_file and copy_": f'print(torch.copy_(torch.from_file("{CANARY}", True, 9), torch.ones([9])))',
    "(torch).save": f'(torch).save(1, "{CANARY}")',
    "torch .save": f'torch .save(1, "{CANARY}")',
    "torch. save": f'torch. save(1, "{CANARY}")',
    "torch.save (": f'torch.save (1, "{CANARY}")',
    "ops . aten . save": f'ops . aten . save(1, "{CANARY}")',
    "a line continued": f'torch.\\\n      save(1, "{CANARY}")',
    "a line continued before the dot": f'torch\\\n      .save(1, "{CANARY}")',
    "a comment between": f'(torch # harmless\n      ).save(1, "{CANARY}")',
    "getattr": f'getattr(torch, "save")(1, "{CANARY}")',
    "a module by another name": f'_t = torch\n    _t.save(1, "{CANARY}")',
    "within a condition": f'if True:\n      torch.save(1, "{CANARY}")',
    "unchecked_cast": f'print(unchecked_cast(Tensor, ops.aten.from_file("{CANARY}", True, 9)))',
    "warn without end": "while True:\n      pass",
    "a huge tensor": "print(torch.ones([100000000000]))",
    "print": 'print("\\033[31mred\\033[0m")',
    "raise with control characters": 'ops.prim.RaiseException("\\033[31mred")',
    "nothing but arithmetic": "_n = torch.add(torch.ones([1]), 1)",
}
for name, statement in STATEMENTS.items():
    register(
        f"TorchScript, {name}", content(lambda s=statement: with_statement(s)), "m.pt", "model", word="TorchScript"
    )


def legacy() -> bytes:
    """The layout of torch 1.0: a model.json instead of pickles."""
    model = b'{"protoVersion":"2","mainModule":{"torchscriptArena":{"key":"code/m.py"}},"tensors":[]}'
    return zipped({"m/version": b"1\n", "m/model.json": model, "m/code/m.py": f"op_version_set = 0\n{SAVE}\n".encode()})


def in_tar() -> bytes:
    out, inner = io.BytesIO(), with_statement(SAVE)
    with tarfile.open(fileobj=out, mode="w") as made:
        info = tarfile.TarInfo("model.pt")
        info.size = len(inner)
        made.addfile(info, io.BytesIO(inner))
    return out.getvalue()


def without_constants() -> bytes:
    return zipped({name: stored for name, stored in entries(with_statement(SAVE)).items() if "constants" not in name})


CONTAINERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "as it is": (plain, "m.pt"),
    "called csv": (plain, "m.csv"),
    "called safetensors": (plain, "m.safetensors"),
    "called pt2": (plain, "m.pt2"),
    "called npz": (plain, "m.npz"),
    "with _extra_files": (lambda: plain(extra=True), "m.pt"),
    "code in .PY": (lambda: renamed(lambda name: name.replace(".py", ".PY")), "m.pt"),
    "CONSTANTS.PKL": (lambda: renamed(lambda name: name.replace("constants.pkl", "CONSTANTS.PKL")), "m.pt"),
    "Constants.pkl and DATA.PKL": (
        lambda: renamed(lambda name: name.replace("constants.pkl", "Constants.pkl").replace("data.pkl", "DATA.PKL")),
        "m.pt",
    ),
    "no constants.pkl": (without_constants, "m.pt"),
    "upper case throughout": (lambda: renamed(str.upper), "m.pt"),
    "with archive_format of torch.export": (
        lambda: zipped({**entries(with_statement(SAVE)), "archive/archive_format": b"pt2"}),
        "m.pt2",
    ),
    "inside another zip": (lambda: zipped({"m.pt": with_statement(SAVE)}), "m.zip"),
    "inside an npz": (lambda: zipped({"x.npy": with_statement(SAVE)}), "m.npz"),
    "inside a zip twice": (lambda: zipped({"a.zip": zipped({"m.pt": with_statement(SAVE)})}), "m.zip"),
    "inside a tar": (in_tar, "m.tar"),
    "compressed entries": (lambda: zipped(entries(with_statement(SAVE)), zipfile.ZIP_DEFLATED), "m.pt"),
    "behind other bytes": (lambda: b"#!/bin/sh\n" * 9 + with_statement(SAVE), "m.pt"),
    "legacy layout": (legacy, "m.pt"),
}
for name, (made, file) in CONTAINERS.items():
    register(f"TorchScript {name}", content(made), file, *ONLY)

register("TorchScript as pythae's model.pt", pythae(model_pt=with_statement(SAVE)), "saved", "model")
register("TorchScript as pythae's encoder.pkl", pythae(encoder_pkl=with_statement(SAVE)), "saved", "model")
for suffix in ("bin", "safetensors"):
    register(
        f"TorchScript as diffusers' {suffix}",
        lambda p, g, s=suffix: diffusers(f"diffusion_pytorch_model.{s}", with_statement(SAVE))(p, g),
        "saved",
        "model",
    )
