"""Pickles that run code: every opcode that names or calls, every gadget, every container, and files that are two at once."""

from __future__ import annotations

import functools
import io
import json
import operator
import os
import pickle
import struct
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from hostile.corpus import CANARY, Harmless, Make, attack, content, register
from hostile.pickle_tools import PACKED, Called, Calls, Opens, archive, by_name, saved, weights, written, zipped

BOTH = ("model", "data")
CODE = f"open({CANARY!r}, 'w')"


def text(value: str, memo: bool = False) -> bytes:
    return pickle.SHORT_BINUNICODE + bytes([len(value)]) + value.encode() + (pickle.MEMOIZE if memo else b"")


ARGUMENTS = b"(" + text(CANARY) + text("w") + b"t"
# NEWOBJ calls __new__, which of few classes writes anything
MAPPED = b"(" + text(CANARY) + text("uint8") + text("w+") + b"K\x00K\x09\x85t"
OPCODES = {
    "INST": f"(V{CANARY}\nVw\niio\nopen\n.".encode(),
    "OBJ": b"(cio\nopen\nV" + CANARY.encode() + b"\nVw\no.",
    "NEWOBJ": b"\x80\x02cnumpy\nmemmap\n" + MAPPED + b"\x81.",
    "NEWOBJ_EX": b"\x80\x04" + text("numpy") + text("memmap") + b"\x93" + MAPPED + b"}\x92.",
    "STACK_GLOBAL": b"\x80\x04" + text("io") + text("open") + b"\x93" + ARGUMENTS + b"R.",
    "EXT1": b"\x80\x02\x82\x01" + ARGUMENTS + b"R.",
    "EXT4": b"\x80\x02\x84\x01\x00\x00\x00" + ARGUMENTS + b"R.",
    "names out of the memo": b"\x80\x04"
    + text("open", True)
    + b"0"
    + text("io", True)
    + b"0h\x01h\x00\x93"
    + ARGUMENTS
    + b"R.",
    "memo by number": f"\x80\x04Vharmless\np5\n0Vopen\np7\n0Vio\np9\n0g9\ng7\n\x93(V{CANARY}\nVw\ntR.".encode(
        "latin-1"
    ),
    "memo overwritten": b"\x80\x04"
    + text("collections")
    + b"q\x000"
    + text("io")
    + b"q\x000"
    + text("open")
    + b"q\x010h\x00h\x01\x93"
    + ARGUMENTS
    + b"R.",
    "within FRAME": pickle.PROTO
    + b"\x04"
    + pickle.FRAME
    + struct.pack("<Q", 10)
    + b"cio\nopen\n0"
    + b"cio\nopen\n"
    + ARGUMENTS
    + b"R.",
    "name of 'builtins' as Python 2 says it": b"c__builtin__\neval\n(V" + CODE.encode() + b"\ntR.",
    "a second pickle behind": pickle.dumps({"a": 1}) + pickle.dumps(Opens()),
    "POP and DUP before": b"\x80\x022N0(1cio\nopen\n" + ARGUMENTS + b"R.",
    "dotted name": b"\x80\x04" + text("os") + text("path.os.system") + b"\x93(" + text(f"touch {CANARY}") + b"tR.",
}
for name, made in OPCODES.items():
    register(f"opcode {name}", content(lambda made=made: made), "m.pt", *BOTH)
    register(f"opcode {name}, in an archive", content(lambda made=made: archive(made)), "m.pt", "model")
for protocol in range(6):
    register(
        f"protocol {protocol}",
        content(lambda p=protocol: pickle.dumps(Opens(), p)),
        "m.pkl",
        *BOTH,
        word="pickle" if protocol > 1 else "",
    )

GADGETS: dict[str, Any] = {
    "eval": Calls(eval, CODE),
    "exec": Calls(exec, CODE),
    "os.system": Calls(os.system, f"touch {CANARY}"),
    "getattr chain": Called("operator.call", (Calls(getattr, Calls(__import__, "os"), "system"), f"touch {CANARY}")),
    "attrgetter": Called(
        "operator.call", (Calls(operator.attrgetter("system"), Calls(__import__, "os")), f"touch {CANARY}")
    ),
    "partial": Calls(functools.partial(open, CANARY, "w")),
    "methodcaller": Calls(operator.methodcaller("write_text", "x"), Path(CANARY)),
    "pickle in pickle": Calls(pickle.loads, pickle.dumps(Opens())),
    "torch.load": Calls(functools.partial(torch.load, weights_only=False), "second.pt"),
    "torch.storage._load_from_bytes": Calls(torch.storage._load_from_bytes, saved(Opens())),
    "torch.hub.load": Called("torch.hub.load", (".", "make")),
    "torch.jit.load": Called("torch.jit._serialization.load", ("second.pt",)),
    "torch._tensor._rebuild_from_type_v2": Calls(
        torch._tensor._rebuild_from_type_v2, open, torch.Tensor, (CANARY, "w"), {}
    ),
    "torch._utils._rebuild_parameter_with_state": Called(
        "torch._utils._rebuild_parameter_with_state",
        (1, True, Called("collections.OrderedDict"), {"__setstate__": by_name("io.open")}),
    ),
    "torch.ops.aten.save": Called("torch.ops.aten.save", (1, CANARY)),
    "torch.save": Called("torch.serialization.save", (1, CANARY)),
    "torch._classes": Called("torch._classes._Classes.load_library", ("./library.so",)),
    "torch.utils.cpp_extension": Called("torch.utils.cpp_extension.load_inline", ("x", "int x;")),
    "numpy.load": Called("numpy.load", ("second.npy", None, True)),
    "numpy.save": Called("numpy.save", (CANARY, 1)),
    "numpy.memmap": Called("numpy.memmap", (CANARY, "uint8", "w+", 0, (9,))),
    "numpy.testing": Called("numpy.testing._private.utils.runstring", (CODE, {})),
    "pandas.read_pickle": Called("pandas.read_pickle", ("second.pt",)),
    "pandas.eval": Called("pandas.eval", (f"@__builtins__.{CODE}",)),
    "timeit": Called("timeit.timeit", ("pass", CODE)),
    "runpy": Called("runpy._run_code", (CODE, {})),
    "subprocess": Called("subprocess.getoutput", (f"touch {CANARY}",)),
    "cloudpickle": Called(
        "cloudpickle.cloudpickle._make_function",
        (Called("cloudpickle.cloudpickle._builtin_type", ("CodeType",)), {}, "f", None, None),
    ),
    "dill": Called("dill._dill._create_function", (Called("dill._dill._create_code", (0, 0, 0)), {})),
    "BUILD over a module": Calls(nn.Linear, 1, 1, state={"forward": Opens()}),
    "OrderedDict of a call": Calls(__import__("collections").OrderedDict, [("a", Opens())]),
    "a tensor whose hooks call": Called(
        "torch._utils._rebuild_tensor_v2", (1, 0, (1,), (1,), False, Called("io.open", (CANARY, "w")))
    ),
}
for name, gadget in GADGETS.items():
    register(f"gadget {name}", content(lambda g=gadget: archive(written({"w": g}))), "m.pt", "model")
register("gadgets as data", content(lambda: archive(written([*GADGETS.values()]))), "m.pt", "data")


def tar_of_torch() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            info, plain = tarfile.TarInfo(name), pickle.dumps(Opens(), protocol=2)
            info.size = len(plain)
            made.addfile(info, io.BytesIO(plain))
    return out.getvalue()


def object_array(shape: str = "(1,)") -> bytes:
    header = f"{{'descr': '|O', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + pickle.dumps(Opens())


def joblib_like() -> bytes:
    wrapper = Called("joblib.numpy_pickle.NumpyArrayWrapper", ())
    return written([wrapper, Opens()], protocol=4)


def safetensors_and_zip() -> bytes:
    inner, header = saved(Opens()), b'{"__metadata__":{"format":"pt"}}'
    return struct.pack("<Q", len(header)) + header + inner


def picture_and_zip() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return start + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"") + saved(Opens())


opens = functools.partial(pickle.dumps, Opens())
plain_zip = functools.partial(saved, {"w": torch.ones(2)})
CONTAINERS = {
    "torch.save": (lambda: saved({"state_dict": Opens()}), "m.pt"),
    "torch.save before zip": (lambda: saved(Opens(), _use_new_zipfile_serialization=False), "m.pt"),
    "torch's tar": (tar_of_torch, "m.tar"),
    "npz": (lambda: zipped({"x.npy": object_array()}), "m.npz"),
    "npz of a huge object array": (lambda: zipped({"x.npy": object_array("(10**0 and 9,)")}), "m.npz"),
    "npy": (object_array, "m.npy"),
    "joblib": (joblib_like, "m.joblib"),
    "joblib, zlib": (lambda: zlib.compress(joblib_like()), "m.joblib"),
    "joblib, gzip": (lambda: PACKED["gzip"](joblib_like()), "m.joblib.gz"),
    "pandas": (lambda: pickle.dumps(pd.DataFrame({"a": [Opens()]})), "m.pkl"),
    "called safetensors": (opens, "m.safetensors"),
    "called pt2": (opens, "m.pt2"),
    "called csv": (opens, "m.csv"),
    "called parquet": (opens, "m.parquet"),
    "called png": (opens, "m.png"),
    "pickle behind a zip": (lambda: plain_zip() + opens(), "m.pt"),
    "pickle before a zip": (lambda: opens() + plain_zip(), "m.pt"),
    "zip behind a harmless pickle": (lambda: pickle.dumps({"a": 1}) + saved(Opens()), "m.pt"),
    "second pickle in a zip": (lambda: archive(pickle.dumps({"a": 1}, 2), **{"other.pkl": opens()}), "m.pt"),
    "pickle of another root": (
        lambda: zipped({"a/data.pkl": pickle.dumps({}, 2), "b/data.pkl": opens(), "b/version": b"3"}),
        "m.pt",
    ),
    "DATA.PKL": (lambda: zipped({"m/DATA.PKL": opens(), "m/version": b"3"}), "m.pt"),
    "data.pkl and DATA.PKL": (
        lambda: zipped({"m/DATA.PKL": opens(), "m/data.pkl": pickle.dumps({}, 2), "m/version": b"3"}),
        "m.pt",
    ),
    "backslashes": (lambda: zipped({"m\\data.pkl": opens(), "m/version": b"3"}), "m.pt"),
    "safetensors and zip": (safetensors_and_zip, "m.safetensors"),
    "png and zip": (picture_and_zip, "m.png"),
    "Lightning": (
        lambda: saved({"pytorch-lightning_version": "2.4.0", "state_dict": {"w": torch.ones(1)}, "callbacks": Opens()}),
        "m.ckpt",
    ),
    "our checkpoint with more": (
        lambda: archive(written({"format": "circuitprobe-checkpoint", "version": 2, "x": Opens()})),
        "m.pt",
    ),
    "in a tensor's place": (lambda: weights(Opens()), "m.pt"),
}
for name, (made, file) in CONTAINERS.items():
    register(f"pickle in {name}", content(made), file, *BOTH)
for name, pack in PACKED.items():
    register(f"pickle in {name}", content(lambda pack=pack: pack(opens())), f"m.pt.{name}", *BOTH)
    register(f"torch.save in {name}", content(lambda pack=pack: pack(saved(Opens()))), f"m.pt.{name}", *BOTH)


@attack("pickle in a parquet file's extension type", "m.parquet", "data")
def parquet(path: Path, _: Harmless) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    marks = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": opens(0)}
    field = pa.field("x", pa.int64(), metadata=marks)
    pq.write_table(pa.table([pa.array(range(9))], schema=pa.schema([field], metadata={"pandas": opens(0)})), path)


def pythae(**files: bytes) -> Make:
    """A folder as pythae writes it, with further files."""

    def make(path: Path, _: Harmless) -> None:
        path.mkdir()
        settings = {
            "name": "VAEConfig",
            "input_dim": [6],
            "latent_dim": 2,
            "uses_default_encoder": True,
            "uses_default_decoder": True,
        }
        (path / "model_config.json").write_text(json.dumps(settings))
        (path / "environment.json").write_text(json.dumps({"name": "EnvironmentConfig", "python_version": "3.11"}))
        torch.save({"model_state_dict": nn.Linear(2, 2).state_dict()}, path / "model.pt")
        for name, plain in files.items():
            file = path / name.replace("__", "/").replace("_", ".")
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(plain)

    return make


def diffusers(file: str, made: bytes) -> Make:
    """A folder as diffusers writes it, with one file of weights."""

    def make(path: Path, _: Harmless) -> None:
        path.mkdir()
        settings = {
            "_class_name": "AutoencoderKL",
            "in_channels": 1,
            "out_channels": 1,
            "down_block_types": ["DownEncoderBlock2D"],
            "up_block_types": ["UpDecoderBlock2D"],
            "block_out_channels": [8],
            "latent_channels": 2,
            "norm_num_groups": 4,
            "sample_size": 16,
        }
        (path / "config.json").write_text(json.dumps(settings))
        (path / file).write_bytes(made)

    return make


FOLDERS = {
    "pythae's encoder.pkl": pythae(encoder_pkl=opens()),
    "pythae's decoder.pkl, zipped": pythae(decoder_pkl=saved(Opens())),
    "pythae's decoder.pkl, gzip": pythae(decoder_pkl=PACKED["gzip"](opens())),
    "pythae's model.pt": pythae(model_pt=saved({"model_state_dict": Opens()})),
    "pythae's model.pt, before zip": pythae(model_pt=saved(Opens(), _use_new_zipfile_serialization=False)),
    "pythae's encoder.pkl with INST": pythae(encoder_pkl=OPCODES["INST"]),
    "pythae's metric.pkl of no suffix": pythae(metric=opens()),
    "diffusers' bin": diffusers("diffusion_pytorch_model.bin", saved(Opens())),
    "diffusers' bin, raw": diffusers("diffusion_pytorch_model.bin", opens()),
    "diffusers' bin, tar": diffusers("diffusion_pytorch_model.bin", tar_of_torch()),
    "diffusers' safetensors": diffusers("diffusion_pytorch_model.safetensors", opens()),
}
for name, make in FOLDERS.items():
    register(f"pickle in {name}", make, "saved", "model")


@attack("pickle in scvi's attr.pkl", "saved", "model")
def scvi(path: Path, _: Harmless) -> None:
    path.mkdir()
    inside = {"model_state_dict": {"w": torch.ones(1)}, "var_names": np.array(["a"]), "attr_dict": Opens()}
    torch.save(inside, path / "model.pt")
