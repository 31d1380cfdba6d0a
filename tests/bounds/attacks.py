"""Small files that ask for much: each function writes one and gives the words of the command that is to read it.

``MODEL`` and ``DATA`` in the words stand for a small model and a table that fit each other.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import json
import lzma
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from pyarrow import parquet
from torch import nn

MODEL, DATA = "MODEL", "DATA"
Attack = Callable[[Path], list[object]]
ATTACKS: dict[str, Attack] = {}
GIGABYTE = 1 << 30


def attack(function: Attack) -> Attack:
    ATTACKS[function.__name__.replace("_", " ")] = function
    return function


def zeros(count: int) -> bytes:
    """So many zeros as gzip packs them, in members of a megabyte."""
    return gzip.compress(bytes(1 << 20), 9) * (count >> 20)


@functools.cache
def deflated(head: bytes, size: int) -> tuple[bytes, int]:
    """Some bytes and then zeros, as a zip archive holds them, and their checksum."""
    piece = bytes(1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    one = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = zlib.crc32(head)
    for _ in range(size >> 20):
        checksum = zlib.crc32(piece, checksum)
    return first + one * (size >> 20) + packer.flush(), checksum


def model(path: Path) -> list[object]:
    return ["inspect", path, DATA]


def data(path: Path) -> list[object]:
    return ["audit", MODEL, path, "--levels", "1"]


def audit(path: Path) -> list[object]:
    return ["compare", path, path]


# archives


def _zip(path: Path, name: str, content: bytes = b"", size: int = GIGABYTE) -> Path:
    """An archive of one entry: some bytes, and zeros."""
    packed, checksum = deflated(content, size)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, packed)
        entry = archive.infolist()[0]
        entry.compress_type, entry.file_size, entry.CRC = zipfile.ZIP_DEFLATED, len(content) + size, checksum
        at = entry.header_offset
    whole = bytearray(path.read_bytes())
    whole[at + 8 : at + 10] = struct.pack("<H", zipfile.ZIP_DEFLATED)
    path.write_bytes(whole)
    return path


@attack
def zip_as_model(folder: Path) -> list[object]:
    return model(_zip(folder / "m.pt", "m/data.pkl"))


@attack
def zip_whose_sizes_lie(folder: Path) -> list[object]:
    """Its directory says that its entry has ten bytes."""
    content = bytearray(_zip(folder / "m.pt", "m/data.pkl").read_bytes())
    at = content.rfind(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 10)
    (folder / "m.pt").write_bytes(content)
    return model(folder / "m.pt")


@attack
def zip_of_many_entries(folder: Path) -> list[object]:
    with zipfile.ZipFile(folder / "m.pt", "w") as archive:
        for number in range(45_000):
            archive.writestr(f"m/{number}", b"")
    return model(folder / "m.pt")


@attack
def zip_of_entries_that_overlap(folder: Path) -> list[object]:
    """Every entry of the directory is the same bytes of the file."""
    with zipfile.ZipFile(folder / "m.pt", "w") as archive:
        archive.writestr("m/data.pkl", bytes(4_000_000))
        first = archive.infolist()[0]
        archive.filelist += [_renamed(first, f"m/data/{number}") for number in range(1_000)]
    return model(folder / "m.pt")


def _renamed(entry: zipfile.ZipInfo, name: str) -> zipfile.ZipInfo:
    other = zipfile.ZipInfo(name)
    for field in ("header_offset", "compress_size", "file_size", "CRC", "compress_type"):
        setattr(other, field, getattr(entry, field))
    return other


@attack
def zip_in_an_exported_program(folder: Path) -> list[object]:
    inner = _zip(folder / "inner", "m/data.pkl").read_bytes()
    with zipfile.ZipFile(folder / "m.pt2", "w") as archive:
        archive.writestr("m/archive_format", b"pt2")
        archive.writestr("m/models/model.json", b"{}")
        archive.writestr("m/data/sample_inputs/model.pt", inner)
    return model(folder / "m.pt2")


@attack
def zip_compressed_by_bzip2(folder: Path) -> list[object]:
    with zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("x.npy", bytes(30_000_000))
    return data(folder / "a.npz")


@attack
def pythae_folder_with_a_zip(folder: Path) -> list[object]:
    (folder / "model_config.json").write_text(json.dumps({"name": "VAEConfig", "latent_dim": 2, "input_dim": [3]}))
    _zip(folder / "model.pt", "m/data.pkl")
    return model(folder)


@attack
def scvi_folder_with_a_zip(folder: Path) -> list[object]:
    _zip(folder / "model.pt", "m/data.pkl")
    return model(folder)


@attack
def npz_that_inflates(folder: Path) -> list[object]:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (GIGABYTE // 4096, 64, 64)}
    )
    return data(_zip(folder / "a.npz", "x.npy", header.getvalue()))


@attack
def npz_with_rows_of_a_gigabyte(folder: Path) -> list[object]:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (2, GIGABYTE // 2)})
    return data(_zip(folder / "a.npz", "x.npy", header.getvalue()))


@attack
def npz_with_a_long_header(folder: Path) -> list[object]:
    return data(_zip(folder / "a.npz", "x.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31), size=GIGABYTE))


@attack
def npz_in_columns(folder: Path) -> list[object]:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": True, "shape": (GIGABYTE // 4, 4)})
    return data(_zip(folder / "a.npz", "x.npy", header.getvalue(), size=GIGABYTE))


@attack
def gzip_table(folder: Path) -> list[object]:
    (folder / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n") + zeros(3 * GIGABYTE))
    return data(folder / "t.csv.gz")


@attack
def bzip2_table(folder: Path) -> list[object]:
    (folder / "t.csv.bz2").write_bytes(bz2.compress(b"a,b\n") + bz2.compress(b"1,2\n" * 250_000) * 1_000)
    return data(folder / "t.csv.bz2")


@attack
def xz_table(folder: Path) -> list[object]:
    (folder / "t.csv.xz").write_bytes(lzma.compress(b"a,b\n") + lzma.compress(b"1,2\n" * 2_500_000) * 300)
    return data(folder / "t.csv.xz")


@attack
def gzip_table_of_a_hundredfold(folder: Path) -> list[object]:
    """Within the bounds: it is read."""
    lines = b"".join(b"%d,%d,%d,%s\n" % (n % 7, n % 5, n % 3, b"x" if n % 2 else b"y") for n in range(60_000))
    (folder / "t.csv.gz").write_bytes(gzip.compress(b"a,b,c,d\n" + lines * 100, 1))
    return data(folder / "t.csv.gz")


@attack
def study_archive(folder: Path) -> list[object]:
    head = tarfile.TarInfo("study.toml")
    head.size = 2 * GIGABYTE
    (folder / "s.tar.xz").write_bytes(lzma.compress(head.tobuf()) + lzma.compress(bytes(1 << 24)) * 128)
    return ["study", "report", folder / "s.tar.xz"]


@attack
def study_archive_with_a_long_header(folder: Path) -> list[object]:
    head = tarfile.TarInfo("PaxHeader")
    head.type, head.size = tarfile.XHDTYPE, GIGABYTE // 4
    (folder / "s.tar.gz").write_bytes(gzip.compress(head.tobuf()) + zeros(GIGABYTE // 4))
    return ["study", "report", folder / "s.tar.gz"]


@attack
def study_archive_of_many_files(folder: Path) -> list[object]:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for number in range(60_000):
            archive.addfile(tarfile.TarInfo(str(number)))
    (folder / "s.tar.gz").write_bytes(held.getvalue())
    return ["study", "report", folder / "s.tar.gz"]


@attack
def study_archive_with_links(folder: Path) -> list[object]:
    with tarfile.open(folder / "s.tar", "w") as archive:
        link = tarfile.TarInfo("study.toml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return ["study", "report", folder / "s.tar"]


@attack
def study_of_a_billion_runs(folder: Path) -> list[object]:
    text = f"""format = 1
[grid]
architectures = ["vae", "beta-vae", "factor-vae"]
benchmarks = ["adult"]
seeds = [{", ".join(map(str, range(120_000)))}]
[table]
batch = 8
lr = 0.1
hidden = [8]
steps = {{ adult = 1 }}
strength = {{ beta-vae = 1.0, factor-vae = 1.0 }}
[audit]
levels = [1, 2]
rows = {{ adult = 8 }}
"""
    (folder / "study.toml").write_text(text)
    return ["study", "report", folder]


@attack
def tar_as_model(folder: Path) -> list[object]:
    with tarfile.open(folder / "m.tar", "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.LNKTYPE, "/dev/zero"
            archive.addfile(link)
    return model(folder / "m.tar")


# pictures and tables


@attack
def pictures_of_many_pixels(folder: Path) -> list[object]:
    from PIL import Image

    for number in range(8):
        Image.new("1", (9_000, 9_000)).save(folder / f"{number}.png")
    return data(folder)


@attack
def many_pictures(folder: Path) -> list[object]:
    from PIL import Image

    Image.new("RGB", (1_000, 1_000)).save(folder / "0.png")
    for number in range(1, 1_500):
        os.link(folder / "0.png", folder / f"{number}.png")
    return data(folder)


@attack
def pipe_among_pictures(folder: Path) -> list[object]:
    from PIL import Image

    Image.new("L", (4, 4)).save(folder / "0.png")
    os.mkfifo(folder / "1.png")
    return data(folder)


@attack
def device_among_pictures(folder: Path) -> list[object]:
    from PIL import Image

    Image.new("L", (4, 4)).save(folder / "0.png")
    (folder / "1.png").symlink_to("/dev/zero")
    return data(folder)


@attack
def parquet_of_many_rows(folder: Path) -> list[object]:
    column = pa.repeat(1.0, 50_000_000)
    parquet.write_table(pa.table({"a": column, "b": column}), folder / "t.parquet", row_group_size=10_000_000)
    return data(folder / "t.parquet")


@attack
def parquet_of_long_texts(folder: Path) -> list[object]:
    codes = pa.array(np.zeros(200_000, dtype=np.int32))
    texts = pa.DictionaryArray.from_arrays(codes, pa.array(["x" * 1_000_000]))
    parquet.write_table(pa.table({"a": texts, "b": np.arange(200_000)}), folder / "t.parquet")
    return data(folder / "t.parquet")


@attack
def parquet_pages_that_inflate(folder: Path) -> list[object]:
    values = np.zeros(150_000_000)
    parquet.write_table(
        pa.table({"a": values}), folder / "t.parquet", use_dictionary=False, compression="zstd", row_group_size=150_000_000,
        data_page_size=GIGABYTE * 2 - 1,
    )  # fmt: skip
    return data(folder / "t.parquet")


@attack
def parquet_of_texts_by_their_changes(folder: Path) -> list[object]:
    texts = pa.array(["x" * 100_000] * 4_000)
    parquet.write_table(
        pa.table({"a": texts}), folder / "t.parquet", use_dictionary=False, column_encoding={"a": "DELTA_BYTE_ARRAY"}
    )
    return data(folder / "t.parquet")


@attack
def parquet_nested(folder: Path) -> list[object]:
    kind = pa.float64()
    for _ in range(60):
        kind = pa.struct([("a", kind)])
    parquet.write_table(pa.table({"a": pa.array([None, None], kind)}), folder / "t.parquet")
    return data(folder / "t.parquet")


@attack
def parquet_footer_of_deep_columns(folder: Path) -> list[object]:
    """Groups in groups, 300,000 deep, each a field of one child."""
    element = b"\x15\x02\x35\x02\x18\x01a\x15\x02\x00"
    elements = b"\x48\x01a\x15\x02\x00" + b"\x35\x02\x18\x01a\x15\x02\x00" * 200_000 + element
    count = 200_002
    varint = bytearray()
    while count > 127:
        varint.append(count & 127 | 128)
        count >>= 7
    varint.append(count)
    footer = b"\x15\x02\x19\xfc" + bytes(varint) + elements + b"\x16\x00\x19\x0c\x00"
    (folder / "t.parquet").write_bytes(b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1")
    return data(folder / "t.parquet")


@attack
def csv_of_one_line(folder: Path) -> list[object]:
    (folder / "t.csv").write_bytes(b"x" * 4_900_000)
    return data(folder / "t.csv")


@attack
def csv_of_a_million_columns(folder: Path) -> list[object]:
    (folder / "t.csv").write_text(",".join(f"c{n}" for n in range(600_000)) + "\n1\n")
    return data(folder / "t.csv")


@attack
def csv_of_short_rows(folder: Path) -> list[object]:
    (folder / "t.csv").write_text(",".join(f"c{n}" for n in range(2_000)) + "\n" + ("," * 1_999 + "\n") * 2_000)
    return data(folder / "t.csv")


@attack
def csv_of_quotes(folder: Path) -> list[object]:
    (folder / "t.csv").write_text("a,b\n" + '"' * 4_900_000)
    return data(folder / "t.csv")


@attack
def csv_of_open_quotes(folder: Path) -> list[object]:
    (folder / "t.csv").write_text("a,b\n" + '1,"x\n' * 900_000)
    return data(folder / "t.csv")


@attack
def csv_with_a_long_name(folder: Path) -> list[object]:
    (folder / "t.csv").write_text("x" * 1_000_000 + ",b\n" + "1,2\n" * 1_000)
    return data(folder / "t.csv")


@attack
def csv_of_different_texts(folder: Path) -> list[object]:
    (folder / "t.csv").write_text("a,b\n" + "".join(f"t{n},u{n}\n" for n in range(300_000)))
    return data(folder / "t.csv")


# pickles


def _pickled(path: Path, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", content)
        archive.writestr("m/version", b"3\n")
    return path


def _call(module: str, name: str, arguments: bytes) -> bytes:
    return b"\x80\x02c" + module.encode() + b"\n" + name.encode() + b"\n" + arguments + b"R."


def _number(value: int) -> bytes:
    content = pickle.encode_long(value)
    return b"\x8a" + bytes([len(content)]) + content


CALLS = {
    "bytearray": _call("__builtin__", "bytearray", _number(3 * GIGABYTE) + b"\x85"),
    "storage": _call("torch.storage", "UntypedStorage", _number(3 * GIGABYTE) + b"\x85"),
    "typed storage": _call("torch", "FloatStorage", _number(GIGABYTE) + b"\x85"),
    "tensor": _call("torch", "Tensor", _number(GIGABYTE) + b"\x85"),
    "tensor of sizes": _call("torch", "FloatTensor", _number(GIGABYTE) + b"\x85"),
    "new object": b"\x80\x02ctorch\nTensor\n" + _number(GIGABYTE) + b"\x85\x81.",
    "size": _call("torch", "Size", b"]" + b"(" + b"K\x01" * 2_000_000 + b"e\x85"),
    "punycode": _call(
        "_codecs",
        "encode",
        b"X" + struct.pack("<I", 2_000_000) + "\u00e9".encode() * 1_000_000 + b"X\x08\x00\x00\x00punycode\x86",
    ),
    "numpy": _call(
        "numpy._core.multiarray", "_reconstruct", b"cnumpy\nndarray\n" + _number(GIGABYTE) + b"\x85C\x01b\x87"
    ),
    "long integer": b"\x80\x02\x8b" + struct.pack("<I", 4_000_000) + b"\x7f" * 4_000_000 + b".",
    "long bytearray": b"\x80\x05\x96" + struct.pack("<Q", 4 * GIGABYTE) + b"x.",
    "long bytes": b"\x80\x04\x8e" + struct.pack("<Q", 4 * GIGABYTE) + b"x.",
    "long frame": b"\x80\x04\x95" + struct.pack("<Q", 4 * GIGABYTE) + b"N.",
    "memo of a large number": b"\x80\x02N" + b"r" + struct.pack("<I", 2**32 - 1) + b".",
    "lists": b"\x80\x02" + b"]" * 4_900_000 + b".",
    "sets": b"\x80\x04" + b"\x8f" * 4_900_000 + b".",
    "objects": b"\x80\x02cx\ny\n" + b"2)R" * 1_600_000 + b".",
    "lists in lists": b"\x80\x02" + b"]" * 1_000_000 + b"a" * 999_999 + b".",
    "tuples in tuples": b"\x80\x02)" + b"\x85" * 500_000 + b".",
    "tuples as a key": b"\x80\x02})" + b"2\x86" * 200 + b"Ns.",
    "tuples in a set": b"\x80\x04\x8f()" + b"2\x86" * 200 + b"\x90.",
    "tuples for a set": b"\x80\x02c__builtin__\nset\n])" + b"2\x86" * 200 + b"a\x85R.",
    "deep tuple as a key": b"\x80\x02})" + b"\x85" * 1_000_000 + b"Ns.",
    "names": b"\x80\x02" + b"ca\nb\n" * 300_000 + b".",
}


def _doubled(inner: bytes, times: int) -> bytes:
    """A list that holds a list twice, which holds a list twice, and so on."""
    content = inner
    for number in range(times):
        content += (
            b"r"
            + struct.pack("<I", number)
            + b"0](j"
            + struct.pack("<I", number)
            + b"j"
            + struct.pack("<I", number)
            + b"e"
        )
    return content


CALLS["lists that double"] = b"\x80\x02" + _doubled(b"]", 200) + b"."
CALLS["a version of lists that double"] = (
    b"\x80\x02}(X\x06\x00\x00\x00formatX\x17\x00\x00\x00circuitprobe-checkpointX\x07\x00\x00\x00version"
    + _doubled(b"]", 200)
    + b"u."
)
CALLS["a checkpoint that doubles"] = (
    b"\x80\x02}(X\x19\x00\x00\x00pytorch-lightning_version"
    + _doubled(b"]", 200)
    + b"X\x01\x00\x00\x00x)cx\ny\nX\x01\x00\x00\x00y0u."
)


def _of_call(name: str) -> tuple[Attack, Attack, Attack]:
    def archived(folder: Path) -> list[object]:
        return model(_pickled(folder / "m.pt", CALLS[name]))

    def plain(folder: Path) -> list[object]:
        (folder / "m.pkl").write_bytes(CALLS[name])
        return model(folder / "m.pkl")

    def as_data(folder: Path) -> list[object]:
        return data(_pickled(folder / "d.pt", CALLS[name]))

    return archived, plain, as_data


# the same reader is behind all three doors: a few go through each
EVERYWHERE = ("bytearray", "storage", "long bytes", "long frame", "tuples as a key", "lists that double")
for _name in CALLS:
    for _where, _attack in zip(("archived", "plain", "as data"), _of_call(_name), strict=True):
        if _where == "archived" or _name in EVERYWHERE:
            ATTACKS[f"pickle: {_name}, {_where}"] = _attack


def _rebuilt(path: Path, change: Callable[[bytes], bytes], content: Any) -> Path:
    """What torch wrote, with its pickle changed."""
    out = io.BytesIO()
    torch.save(content, out)
    with zipfile.ZipFile(out) as source, zipfile.ZipFile(path, "w") as archive:
        for name in source.namelist():
            kept = source.read(name)
            archive.writestr(name, change(kept) if name.endswith("data.pkl") else kept)
    return path


def _huge(content: bytes) -> bytes:
    """A tensor of 300 numbers becomes one of 300 times a hundred million."""
    assert b"M,\x01" in content
    return content.replace(b"M,\x01K\x03\x86", _number(10**11) + b"K\x03\x86")


@attack
def tensor_beyond_its_storage(folder: Path) -> list[object]:
    return data(_rebuilt(folder / "d.pt", _huge, torch.zeros(300, 3)))


@attack
def weights_beyond_their_storage(folder: Path) -> list[object]:
    return model(_rebuilt(folder / "m.pt", _huge, {"a.weight": torch.zeros(300, 3)}))


@attack
def expanded_tensor(folder: Path) -> list[object]:
    torch.save(torch.zeros(1).expand(10**12, 3), folder / "d.pt")
    return data(folder / "d.pt")


@attack
def expanded_weights(folder: Path) -> list[object]:
    torch.save({"encoder.weight": torch.zeros(1).expand(10**6, 10**5)}, folder / "m.pt")
    return model(folder / "m.pt")


@attack
def expanded_weights_and_another_class(folder: Path) -> list[object]:
    torch.save(
        {"state_dict": {"e.weight": torch.zeros(1).expand(10**6, 10**5)}, "other": np.float64(1)}, folder / "m.pt"
    )
    return model(folder / "m.pt")


@attack
def older_storage_of_many_numbers(folder: Path) -> list[object]:
    torch.save(torch.zeros(300, 3), folder / "d.pt", _use_new_zipfile_serialization=False)
    content = (folder / "d.pt").read_bytes()
    assert b"M\x84\x03" in content
    (folder / "d.pt").write_bytes(content.replace(b"M\x84\x03", _number(10**10)))
    return data(folder / "d.pt")


@attack
def tensor_on_no_device(folder: Path) -> list[object]:
    torch.save({"a.weight": torch.empty(10**6, 10**6, device="meta")}, folder / "m.pt")
    return model(folder / "m.pt")


@attack
def sparse_tensor(folder: Path) -> list[object]:
    torch.save(
        torch.sparse_coo_tensor(torch.zeros(2, 1, dtype=torch.long), torch.ones(1), (10**9, 10**9)), folder / "d.pt"
    )
    return data(folder / "d.pt")


# our own checkpoints, and those of libraries


def _checkpoint(path: Path, **architecture: object) -> Path:
    payload = {
        "format": "circuitprobe-checkpoint", "version": 2,
        "architecture": {"name": "vae", "latents": 2, "hidden": [8], "blocks": [["numeric", 1]] * 3, **architecture},
        "data": {"source": "x", "target": None, "ignored": [], "scaling": "standard", "layout": "", "columns": [
            {"name": n, "kind": "numeric", "categories": [], "center": 0.0, "scale": 1.0} for n in "abc"]},
        "training": {}, "state_dict": OrderedDict({"encoder.0.weight": torch.zeros(8, 3)}),
    }  # fmt: skip
    torch.save(payload, path)
    return path


@attack
def checkpoint_of_many_units(folder: Path) -> list[object]:
    return model(_checkpoint(folder / "m.pt", hidden=[10**9]))


@attack
def checkpoint_of_many_latents(folder: Path) -> list[object]:
    return model(_checkpoint(folder / "m.pt", latents=10**9))


@attack
def checkpoint_of_many_layers(folder: Path) -> list[object]:
    return model(_checkpoint(folder / "m.pt", hidden=[1] * 1_000_000))


@attack
def checkpoint_of_many_categories(folder: Path) -> list[object]:
    return model(_checkpoint(folder / "m.pt", blocks=[["categorical", 10**9]]))


@attack
def checkpoint_of_many_columns(folder: Path) -> list[object]:
    return model(_checkpoint(folder / "m.pt", blocks=[["numeric", 1]] * 500_000))


@attack
def checkpoint_of_large_images(folder: Path) -> list[object]:
    path = _checkpoint(folder / "m.pt", shape=[3, 160_000, 160_000])
    return model(path)


@attack
def pythae_settings_of_many_latents(folder: Path) -> list[object]:
    told = {
        "name": "VAEConfig",
        "latent_dim": 10**9,
        "input_dim": [3],
        "uses_default_encoder": True,
        "uses_default_decoder": True,
    }
    (folder / "model_config.json").write_text(json.dumps(told))
    torch.save({"model_state_dict": nn.Linear(3, 2).state_dict()}, folder / "model.pt")
    return model(folder)


@attack
def pythae_weights_that_allocate(folder: Path) -> list[object]:
    told = {
        "name": "VAEConfig",
        "latent_dim": 2,
        "input_dim": [3],
        "uses_default_encoder": True,
        "uses_default_decoder": True,
    }
    (folder / "model_config.json").write_text(json.dumps(told))
    _pickled(folder / "model.pt", CALLS["bytearray"])
    return model(folder)


@attack
def diffusers_settings_of_many_channels(folder: Path) -> list[object]:
    from safetensors.torch import save_file

    (folder / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL", "block_out_channels": [2**20]}))
    save_file({"a": torch.zeros(3)}, folder / "diffusion_pytorch_model.safetensors")
    return model(folder)


@attack
def diffusers_settings_of_many_layers(folder: Path) -> list[object]:
    from safetensors.torch import save_file

    (folder / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL", "layers_per_block": 10**9}))
    save_file({"a": torch.zeros(3)}, folder / "diffusion_pytorch_model.safetensors")
    return model(folder)


@attack
def safetensors_header_that_lies(folder: Path) -> list[object]:
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
    (folder / "m.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    return model(folder / "m.safetensors")


@attack
def safetensors_header_that_nests(folder: Path) -> list[object]:
    header = b'{"a":' + b"[" * 2_000_000
    (folder / "m.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    return model(folder / "m.safetensors")


# exported programs


class Exported(nn.Module):
    def __init__(self, factor: int = 1) -> None:
        super().__init__()
        self.encoder, self.mean, self.log_var = nn.Linear(3, 8), nn.Linear(8, 2), nn.Linear(8, 2)
        self.decoder = nn.Linear(2, 3)
        self.factor = factor

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        hidden = torch.tanh(self.encoder(x))
        mean, log_var = self.mean(hidden), self.log_var(hidden)
        z = mean + torch.randn_like(mean) * (0.5 * log_var).exp()
        grown = torch.zeros(7, 11).repeat(self.factor, 13).sum() if self.factor > 1 else 0.0
        return self.decoder(z) + grown, mean, log_var


def _exported(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    plain = path.with_name("plain.pt2")
    shapes = {"x": {0: torch.export.Dim.DYNAMIC}}
    torch.export.save(torch.export.export(Exported().eval(), (torch.ones(4, 3),), dynamic_shapes=shapes), plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w") as archive:
        for name in source.namelist():
            archive.writestr(name, change(name, source.read(name)))
    return path


def _in_program(folder: Path, old: str, new: str) -> list[object]:
    def change(name: str, content: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return content
        assert old in content.decode()
        return content.decode().replace(old, new).encode()

    return model(_exported(folder / "m.pt2", change))


SYMBOL = "Symbol('s77', positive=True, integer=True)"


def _expression(folder: Path, text: str) -> list[object]:
    def change(name: str, content: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return content
        program = json.loads(content)
        assert _replaced(program, text)
        return json.dumps(program).encode()

    return model(_exported(folder / "m.pt2", change))


def _replaced(value: Any, text: str) -> bool:
    if isinstance(value, dict):
        found = "expr_str" in value
        if found:
            value["expr_str"] = text
        return sum(_replaced(item, text) for item in value.values()) > 0 or found
    return isinstance(value, list) and sum(_replaced(item, text) for item in value) > 0


def _nested(name: str, times: int) -> str:
    text = SYMBOL
    for number in range(times):
        text = f"{name}({text}, Mul(Integer({number + 2}), {SYMBOL}))"
    return text


EXPRESSIONS = {
    "powers of powers": "Pow(Integer(9), Pow(Integer(9), Pow(Integer(9), Integer(9))))",
    "a power": "Pow(Integer(9), Integer(999999999))",
    "powers of natural numbers": "PowByNatural(Integer(9), PowByNatural(Integer(9), Integer(9)))",
    "a shift": "LShift(Integer(1), Integer(99999999999))",
    "many terms": "Add(" + ", ".join(f"Mul(Integer({n}), {SYMBOL})" for n in range(20_000)) + ")",
    "sums multiplied": "Mul(" + ", ".join(f"Add({SYMBOL}, Integer({n}))" for n in range(14)) + ")",
    "largest of largest": _nested("Max", 12),
    "a deep sum": "-" * 900 + "1",
    "a long number": "Integer(" + "9" * 900 + ")",
}  # fmt: skip
for _name, _text in EXPRESSIONS.items():
    ATTACKS[f"expression: {_name}"] = lambda folder, text=_text: _expression(folder, text)


@attack
def weights_of_an_exported_program_expanded(folder: Path) -> list[object]:
    def change(name: str, content: bytes) -> bytes:
        if not name.endswith("model_weights_config.json"):
            return content
        told = json.loads(content)
        entry = next(iter(told["config"].values()))["tensor_meta"]
        entry["sizes"], entry["strides"] = [{"as_int": 10**6}, {"as_int": 10**6}], [{"as_int": 0}, {"as_int": 0}]
        return json.dumps(told).encode()

    return model(_exported(folder / "m.pt2", change))


@attack
def program_that_grows(folder: Path) -> list[object]:
    shapes = {"x": {0: torch.export.Dim.DYNAMIC}}
    program = torch.export.export(Exported(300_000).eval(), (torch.ones(4, 3),), dynamic_shapes=shapes)
    torch.export.save(program, folder / "m.pt2")
    return model(folder / "m.pt2")


@attack
def program_of_many_rows(folder: Path) -> list[object]:
    def change(name: str, content: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return content
        program = json.loads(content)
        program["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][0] = {"as_int": 10**9}
        return json.dumps(program).encode()

    return model(_exported(folder / "m.pt2", change))


@attack
def program_of_many_operators(folder: Path) -> list[object]:
    def change(name: str, content: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return content
        program = json.loads(content)
        nodes = program["graph_module"]["graph"]["nodes"]
        one = json.dumps(nodes[0])
        nodes[:0] = [json.loads(one) for _ in range(6_000)]
        return json.dumps(program).encode()

    return model(_exported(folder / "m.pt2", change))


@attack
def program_that_nests(folder: Path) -> list[object]:
    def change(name: str, content: bytes) -> bytes:
        return b"[" * 4_000_000 if name.endswith("models/model.json") else content

    return model(_exported(folder / "m.pt2", change))


# JSON, and what is no file


JSONS = {
    "nested": b"[" * 2_000_000,
    "nested objects": b'{"a":' * 900_000,
    "a long number": b'{"schema_version": ' + b"9" * 4_000_000 + b"}",
    "many entries": b"{" + b",".join(b'"%d":1' % n for n in range(400_000)) + b"}",
    "many lists": b"[" + b",".join([b"[]"] * 1_600_000) + b"]",
    "empty objects": b'{"latents": [' + b",".join([b"{}"] * 1_500_000) + b"]}",
    "empty objects by name": b'{"ces": {' + b",".join(b'"%d":{}' % n for n in range(300_000)) + b"}}",
    "an exponent": b'{"schema_version": 1e999999999}',
}
for _name, _content in JSONS.items():

    def _report(folder: Path, content: bytes = _content) -> list[object]:
        (folder / "a.json").write_bytes(content)
        return audit(folder / "a.json")

    def _check(folder: Path, content: bytes = _content) -> list[object]:
        (folder / "a.json").write_bytes(content)
        return ["check", folder / "a.json", "--baseline", folder / "a.json"]

    def _model(folder: Path, content: bytes = _content) -> list[object]:
        (folder / "a.json").write_bytes(content)
        return model(folder / "a.json")

    def _settings(folder: Path, content: bytes = _content) -> list[object]:
        (folder / "config.json").write_bytes(content)
        return model(folder)

    for _where, _attack in (("audit", _report), ("baseline", _check), ("model", _model), ("settings", _settings)):
        ATTACKS[f"JSON: {_name}, as {_where}"] = _attack


@attack
def details_of_a_baseline(folder: Path) -> list[object]:
    (folder / "b.json").write_text(json.dumps({"baseline_version": "1.0", "details_sha256": "x"}))
    (folder / "b.details").write_bytes(zeros(3 * GIGABYTE))
    return ["check", folder / "b.json", "--baseline", folder / "b.json"]


@attack
def details_that_are_a_pipe(folder: Path) -> list[object]:
    (folder / "b.json").write_text(json.dumps({"baseline_version": "1.0", "details_sha256": "x"}))
    os.mkfifo(folder / "b.details")
    return ["check", folder / "b.json", "--baseline", folder / "b.json"]


def _holes(path: Path, head: bytes = b"") -> Path:
    """A hundred gigabytes, of which none is on disk."""
    path.write_bytes(head)
    os.truncate(path, 100 * GIGABYTE)
    return path


DOORS: dict[str, Callable[[Path], list[object]]] = {
    "model": model,
    "data": data,
    "audit": audit,
    "baseline": lambda path: ["baseline", path, "--out", path.with_name("out.json")],
    "check": lambda path: ["check", path, "--baseline", path],
    "study": lambda path: ["study", "report", path],
    "spec": lambda path: ["inspect", MODEL, DATA, "--spec", path],
    "factory": lambda path: ["inspect", MODEL, DATA, "--factory", f"{path}:make"],
    "model of a batch": lambda path: ["study", "audit", path, "--data", DATA, "--out", path.with_name("out")],
}


def _of_door(door: str) -> dict[str, Attack]:
    def pipe(folder: Path) -> list[object]:
        os.mkfifo(folder / "x.py")
        return DOORS[door](folder / "x.py")

    def device(folder: Path) -> list[object]:
        (folder / "x.py").symlink_to("/dev/zero")
        return DOORS[door](folder / "x.py")

    def holes(folder: Path) -> list[object]:
        return DOORS[door](_holes(folder / "x.py"))

    return {f"pipe as {door}": pipe, f"device as {door}": device, f"holes as {door}": holes}


for _door in DOORS:
    ATTACKS |= _of_door(_door)

HEADS = {
    "pickle": b"\x80\x02}q\x00.",
    "torch": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
    "text pickle": b"(dp0\n",
    "zip": b"PK\x03\x04",
    "parquet": b"PAR1",
    "numpy": b"\x93NUMPY",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "json": b"{",
    "tar": b"x" * 257 + b"ustar" + bytes(3),
    "table": b"a,b\n1,2\n",
    "png": b"\x89PNG",
    "safetensors": b"\x40\x42\x0f\x00\x00\x00\x00\x00{",
}
for _name, _head in HEADS.items():
    ATTACKS[f"holes after {_name}, as model"] = lambda folder, head=_head: model(_holes(folder / "m", head))
    ATTACKS[f"holes after {_name}, as data"] = lambda folder, head=_head: data(_holes(folder / "m", head))


@attack
def pipe_in_a_library_folder(folder: Path) -> list[object]:
    (folder / "model_config.json").write_text(json.dumps({"name": "VAEConfig", "latent_dim": 2, "input_dim": [3]}))
    torch.save({"model_state_dict": nn.Linear(3, 2).state_dict()}, folder / "model.pt")
    os.mkfifo(folder / "environment.json")
    return model(folder)


@attack
def settings_that_are_a_pipe(folder: Path) -> list[object]:
    os.mkfifo(folder / "model_config.json")
    return model(folder)


@attack
def weights_that_are_a_device(folder: Path) -> list[object]:
    (folder / "model_config.json").write_text(json.dumps({"name": "VAEConfig", "latent_dim": 2, "input_dim": [3]}))
    (folder / "model.pt").symlink_to("/dev/zero")
    return model(folder)


@attack
def folder_of_links_to_itself(folder: Path) -> list[object]:
    (folder / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL"}))
    torch.save({}, folder / "diffusion_pytorch_model.bin")
    for number in range(20):
        (folder / f"loop{number}").symlink_to(folder)
    (folder / "root").symlink_to("/")
    return model(folder)


@attack
def column_of_different_dates(folder: Path) -> list[object]:
    pd.DataFrame({"a": pd.date_range("1900-01-01", periods=200_000, freq="min"), "b": 1.5}).to_parquet(
        folder / "t.parquet"
    )
    return data(folder / "t.parquet")
