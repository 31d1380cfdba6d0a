"""Bombs and broken archives as models, data, baselines and studies."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from hostile.bombs import Entry, deflated, gzipped, member, npy, picture, streams, tar_file, zip_file
from hostile.corpus import CANARY, Harmless, Make, attack, content, register
from hostile.pickle_tools import archive, saved, tensor, written, zipped
from hostile.pickles import pythae

BOTH = ("model", "data")
ROW = b"1.0,2.0,3.0,a,b\n"
HEADER = b"height,weight,income,city,smoker\n"
TORCH = b"\x80\x02}q\x00."


def bomb(name: str, method: int, stored: Callable[[], bytes], claimed: int | None) -> Callable[[], bytes]:
    """A torch archive with one entry that inflates."""
    return lambda: zip_file(
        [Entry("m/data.pkl", TORCH), Entry(name, stored(), claimed, method), Entry("m/version", b"3")]
    )


GIB = 2**30
ZIPS: dict[str, Callable[[], bytes]] = {
    "flat": bomb("m/data/0", 8, lambda: deflated(3000), 3000 * 2**20),
    "flat, its pickle": lambda: zip_file(
        [Entry("m/data.pkl", deflated(3000), 3000 * 2**20, 8), Entry("m/version", b"3")]
    ),
    "flat, says ten bytes": bomb("m/data/0", 8, lambda: deflated(3000), 10),
    "its pickle, says ten bytes": lambda: zip_file(
        [Entry("m/data.pkl", deflated(3000), 10, 8), Entry("m/version", b"3")]
    ),
    "says nothing": bomb("m/data/0", 8, lambda: deflated(2000), 0),
    "says an exabyte": lambda: zip_file([Entry("m/data.pkl", TORCH), Entry("m/data/0", b"1234", 2**60)], zip64=True),
    "says an exabyte, deflated": lambda: zip_file([Entry("m/data.pkl", deflated(8), 2**60, 8)], zip64=True),
    "says less below zero": lambda: zip_file([Entry("m/data.pkl", TORCH, 2**64 - 1)], zip64=True),
    "bzip2": bomb("m/data/0", 12, lambda: streams("bz2", 32), 32 * 2**20),
    "bzip2, its pickle": lambda: zip_file([Entry("m/data.pkl", streams("bz2", 50_016), 10, 12)]),
    "lzma": lambda: zipped({"m/data.pkl": TORCH, "m/data/0": bytes(64 * 2**20)}, zipfile.ZIP_LZMA),
    "overlapping": lambda: zip_file(
        [Entry("m/data.pkl", TORCH), Entry("m/data/0", deflated(800), 800 * 2**20, 8)],
        {f"m/data/{n}": 1 for n in range(1, 900)},
    ),
    "overlapping, small sizes": lambda: zip_file(
        [Entry("m/data.pkl", TORCH), Entry("m/data/0", deflated(800), 10, 8)], {f"m/data/{n}": 1 for n in range(1, 900)}
    ),
    "overlapping, stored": lambda: zip_file(
        [Entry("m/data.pkl", TORCH), Entry("m/data/0", bytes(10**6))], {f"m/data/{n}": 1 for n in range(1, 3000)}
    ),
    "90,000 entries": lambda: zip_file([Entry("m/data.pkl", TORCH)], {f"{n:05x}": 0 for n in range(90_000)}),
    "30,000 entries of a name": lambda: zip_file([Entry("m/data.pkl", TORCH) for _ in range(30_000)]),
    "30,000 pickles": lambda: zip_file([Entry("m/data.pkl", TORCH)], {f"m/{n}/data.pkl": 0 for n in range(30_000)}),
    "long names": lambda: zip_file(
        [Entry("m/data.pkl", TORCH), *(Entry(f"{n}{'x' * 60_000}", b"") for n in range(30))]
    ),
    "control characters in names": lambda: zip_file(
        [Entry("\x1b[31mred\x9b\u202e.pt", TORCH), Entry("b\r\n.pt", TORCH)]
    ),
    "control characters, of numpy": lambda: zip_file(
        [Entry("\x1b[31mred.npy", npy("(1,)", bytes(4))), Entry("\x9b.npy", npy("(1,)", bytes(4)))]
    ),
    "nested": lambda: zipped(
        {f"{n}.zip": zipped({"m/data.pkl": TORCH, "m/data/0": bytes(2**20)}, zipfile.ZIP_DEFLATED) for n in range(100)}
    ),
    "nested 200 deep": lambda: nested(200),
    "encrypted": lambda: zipped({"m/data.pkl": TORCH, "m/version": b"3"}).replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"
    ),
    "names that leave": lambda: zipped({"../../m/data.pkl": TORCH, "/m/version": b"3", f"../{CANARY}": b"1"}),
    "of another method": lambda: zip_file([Entry("m/data.pkl", TORCH, 5, 99)]),
    "a comment of another archive": lambda: saved({}) + zipped({"m/data.pkl": b"cio\nopen\n."}),
    "cut off": lambda: saved({"a": 1})[:-30],
}


def nested(depth: int) -> bytes:
    inner = TORCH
    for _ in range(depth):
        inner = zipped({"m.zip": inner})
    return inner


for name, made in ZIPS.items():
    register(f"zip {name}", content(made), "m.pt", *BOTH)
    register(f"zip {name}, in pythae's folder", lambda p, g, m=made: pythae(model_pt=m())(p, g), "saved", "model")


def large_dictionary() -> bytes:
    """An xz file of one byte whose header asks for a dictionary of 1.5 GB."""
    plain = bytearray(lzma.compress(b"1", preset=0))
    length = 4 * plain[12] + 4
    head = plain[12 : 12 + length]
    place = head.index(b"\x21\x01") + 2
    head[place] = 37
    head[-4:] = struct.pack("<I", zlib.crc32(head[:-4]))
    plain[12 : 12 + length] = head
    return bytes(plain)


def sparse_member() -> bytes:
    """A GNU sparse member of a terabyte."""
    header = bytearray(member("study.toml", 512, b"S").tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (0, 512)
    header[483:495] = b"\x80" + (10**12).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"x" * 512 + bytes(1024)


TORCH_TAR = ("sys_info", "pickle", "storages", "tensors")
TARS: dict[str, Callable[[], bytes]] = {
    "symlinks": lambda: tar_file([(member(name, kind=tarfile.SYMTYPE, link="/etc/passwd"), b"") for name in TORCH_TAR]),
    "hard links": lambda: tar_file(
        [(member(name, kind=tarfile.LNKTYPE, link="../../etc/passwd"), b"") for name in TORCH_TAR]
    ),
    "links in a ring": lambda: tar_file([(member(name, kind=tarfile.SYMTYPE, link=name), b"") for name in TORCH_TAR]),
    "devices": lambda: tar_file([(member(name, kind=tarfile.CHRTYPE), b"") for name in TORCH_TAR]),
    "pipes": lambda: tar_file([(member(name, kind=tarfile.FIFOTYPE), b"") for name in TORCH_TAR]),
    "absolute names": lambda: tar_file([(member(f"/var/{CANARY}", 1), b"x")]),
    "names that leave": lambda: tar_file([(member(f"../{CANARY}", 1), b"x"), (member("study.toml", 1), b"x")]),
    "control characters": lambda: tar_file([(member("\x1b[31mred\x9b.pt", 1), b"x")]),
    "sizes beyond": lambda: tar_file([(member(name, 8 * 10**9), b"x") for name in TORCH_TAR]),
    "sizes of 200 MB": lambda: tar_file([(member(name, 200 * 2**20), b"x") for name in ("study.toml", *TORCH_TAR)]),
    "sparse": sparse_member,
    "20,000 members": lambda: gzip.compress(tar_file([(member(f"{n}.pt"), b"") for n in range(20_000)]), 1),
    "4,000 members plain": lambda: tar_file([(member(f"{n}.pt"), b"") for n in range(4000)]),
    "a long name": lambda: tar_file([(member("@LongLink", 2 * 10**6, b"L"), b"x" * 2 * 10**6), (member("x", 1), b"x")]),
    "a pax header that lies": lambda: tar_file(
        [(member("pax", 30, b"x"), b"25 size=99999999999999999\n".ljust(30)), (member("study.toml", 1), b"x")]
    ),
    "a pax header in a loop": lambda: tar_file(
        [(member("pax", 20, b"x"), b"0 size=9\n".ljust(20)), (member("study.toml", 1), b"x")]
    ),
    "long names without end": lambda: tar_file([(member("@LongLink", 1, b"L"), b"x") for _ in range(4000)]),
    "gzip bomb": lambda: gzipped(3000, tar_file([(member("study.toml", 3 * 10**9), b"x = 1\n")])[:1024]),
    "gzip bomb of zeros": lambda: gzipped(4000),
    "xz bomb": lambda: streams("xz", 20_000, tar_file([(member("study.toml", 250 * 10**6), b"")])[:512], b"#"),
    "xz bomb of comments": lambda: streams("xz", 320, tar_file([(member("study.toml", 250 * 10**6), b"")])[:512], b"#"),
    "bzip2 bomb": lambda: streams("bz2", 100_000, tar_file([(member("study.toml", 3 * 10**9), b"")])[:512]),
    "bzip2 bomb behind the plan": lambda: streams(
        "bz2", 100_000, tar_file([(member("study.toml", 6), b"x = 1\n"), (member("z", 9 * 10**9), b"")])[:1536]
    ),
    "gzip within gzip": lambda: gzip.compress(gzipped(3000)),
    "lzma alone": lambda: lzma.compress(bytes(64 * 2**20), lzma.FORMAT_ALONE),
    "xz that wants a dictionary of 1.5 GB": large_dictionary,
}


for name, made in TARS.items():
    register(f"tar {name}", content(made), "m.tar", "study", *BOTH)

TABLES: dict[str, tuple[Callable[[], bytes], str]] = {
    "csv.gz of one line": (lambda: gzipped(3000, HEADER, b"1"), "t.csv.gz"),
    "csv.gz of zeros": (lambda: gzipped(3000), "t.csv.gz"),
    "csv.gz of quotes": (lambda: gzipped(3000, HEADER, b'"'), "t.csv.gz"),
    "csv.gz of commas": (lambda: gzipped(3000, HEADER, b","), "t.csv.gz"),
    "csv.gz of a wide header": (lambda: gzipped(3000, b"a", b","), "t.csv.gz"),
    "csv.gz of blank lines": (lambda: gzipped(2000, HEADER, b"\n"), "t.csv.gz"),
    "csv.xz of one cell": (lambda: streams("xz", 20_000, HEADER, b"x"), "t.csv.xz"),
    "csv.bz2 of one cell": (lambda: streams("bz2", 100_000, HEADER, b"x"), "t.csv.bz2"),
    "csv.gz within gz": (lambda: gzip.compress(gzipped(3000, HEADER, b"1")), "t.csv.gz.gz"),
    "csv.gz that ends early": (lambda: gzip.compress(HEADER + ROW * 9999, mtime=0)[:-200], "t.csv.gz"),
    "npz of 100 GB": (
        lambda: zip_file([Entry("x.npy", deflated(3000, npy("(25000000000,)")), 10**11 + 100, 8)], zip64=True),
        "x.npz",
    ),
    "npz of 3 GB rows": (
        lambda: zip_file(
            [Entry("x.npy", deflated(3000, npy("(2, 393216000)")), 3000 * 2**20 + len(npy("(2, 393216000)")), 8)]
        ),
        "x.npz",
    ),
    "npz of columns": (
        lambda: zip_file(
            [
                Entry(
                    "x.npy",
                    deflated(3000, npy("(1000, 786432)", fortran=True)),
                    3000 * 2**20 + len(npy("(1000, 786432)", fortran=True)),
                    8,
                )
            ]
        ),
        "x.npz",
    ),
    "npz of a header of 3 GB": (
        lambda: zip_file([Entry("x.npy", deflated(3000, b"\x93NUMPY\x02\x00\xff\xff\xff\xbf", b" "), 3 * 10**9, 8)]),
        "x.npz",
    ),
    "npz in bzip2": (
        lambda: zip_file([Entry("x.npy", streams("bz2", 50_016, npy("(12500000000,)")), 10**11, 12)], zip64=True),
        "x.npz",
    ),
    "npz of 5,000 arrays": (lambda: zipped({f"{n}.npy": npy("(1,)", bytes(4)) for n in range(5000)}), "x.npz"),
    "npy of 4 TB": (lambda: npy("(1000000000000,)"), "x.npy"),
    "npy of 10^12 rows of nothing": (lambda: npy("(1000000000000, 0)"), "x.npy"),
    "npy of 10^12 empty texts": (lambda: npy("(1000000000000,)", dtype="|S0"), "x.npy"),
    "npy of 10^12 voids": (lambda: npy("(1000000000000, 9)", dtype="|V0"), "x.npy"),
    "npy of no rows and 10^12 columns": (lambda: npy("(0, 1000000000000)"), "x.npy"),
    "npy that overflows": (lambda: npy("(4294967296, 4294967296, 16)"), "x.npy"),
    "npy below zero": (lambda: npy("(-1, 9)", bytes(36)), "x.npy"),
    "npy of 10^5 sides": (lambda: npy(f"({'1, ' * 9000})", bytes(4)), "x.npy"),
    "npy of nested brackets": (lambda: npy(f"{'(' * 9000}1{')' * 9000}", bytes(4)), "x.npy"),
    "npy of digits": (lambda: npy(f"({'9' * 9000},)", bytes(4)), "x.npy"),
    "npy of True rows": (lambda: npy("(True, 9)", bytes(36)), "x.npy"),
    "npy of a deep record": (
        lambda: b"\x93NUMPY\x02\x00" + struct.pack("<I", 60_000) + (b"{'descr': " + b"[('a', " * 4000).ljust(60_000),
        "x.npy",
    ),
    "npy of an item of 2 GB": (lambda: npy("(2,)", dtype="|S2000000000"), "x.npy"),
    "torch, 10^12 rows of stride 0": (lambda: _strided((10**12, 9)), "x.pt"),
    "torch, rows of 10^11 of stride 0": (lambda: _strided((64, 10**11)), "x.pt"),
    "torch, 10^12 rows of nothing": (lambda: _strided((10**12, 0)), "x.pt"),
}


def _strided(shape: tuple[int, ...]) -> bytes:
    return archive(written(tensor(shape, (0,) * len(shape))), {"0": bytes(4)})


for name, (made, file) in TABLES.items():
    register(f"table {name}", content(made), file, "data")


def pictures(*files: bytes) -> Make:
    def make(path: Path, _: Harmless) -> None:
        path.mkdir()
        for number, file in enumerate(files):
            (path / f"{number}.png").write_bytes(file)

    return make


PICTURES = {
    "60,000 x 60,000": picture(60_000, 60_000, 456),
    "13,000 x 13,000": picture(13_000, 13_000, 168, depth=8),
    "9,000 x 9,000": picture(9000, 9000, 80, depth=8),
    "2^31 x 2^31": picture(2**31 - 1, 2**31 - 1, 8),
    "no sides": picture(0, 0, 8),
    "more data than sides": picture(16, 16, 1200),
}
for name, plain in PICTURES.items():
    register(f"pictures of {name}", pictures(plain, plain, plain), "pictures", "data")
register("pictures by the thousand of 2,000 x 2,000", pictures(*[picture(2000, 2000, 8, 8)] * 300), "pictures", "data")


@attack("pictures with a comment of 2 GB", "pictures", "data")
def comments(path: Path, good: Harmless) -> None:
    text = b"Comment\0\0" + b"\x78\xda" + deflated(2000) + bytes(4)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    plain = picture(16, 16, 8)
    pictures(plain[:33] + chunk + plain[33:], plain)(path, good)


@attack("parquet of 200 million rows", "t.parquet", "data")
def rows(path: Path, _: Harmless) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    part = pa.table({"height": pa.array([1] * 1_000_000, pa.int8())})
    with pq.ParquetWriter(path, part.schema, compression="zstd", write_statistics=False) as out:
        for _ in range(200):
            out.write_table(part, row_group_size=1_000_000)


@attack("parquet of a text of 900 MB", "t.parquet", "data")
def long_text(path: Path, _: Harmless) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = "x" * (30 * 2**20)
    values = pa.DictionaryArray.from_arrays(pa.array([0] * 64, pa.int8()), pa.array([text]))
    pq.write_table(pa.table({"city": values}), path, compression="zstd")


@attack("parquet of 20,000 columns", "t.parquet", "data")
def columns(path: Path, _: Harmless) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table({f"c{n}": [1, 2] for n in range(9000)}),
        path,
        write_statistics=False,
        use_dictionary=False,
        store_schema=False,
    )


FOOTERS = {
    "footer of 2 GB": b"PAR1" + bytes(99) + struct.pack("<I", 2**31 - 1) + b"PAR1",
    "footer of nothing": b"PAR1" + struct.pack("<I", 0) + b"PAR1",
    "footer that is deep": b"PAR1" + b"\x1c" * 200_000 + struct.pack("<I", 200_000) + b"PAR1",
    "footer of lists": b"PAR1" + b"\x15\x02\x19\xfc\xff\xff\xff\xff\x07" * 9 + struct.pack("<I", 81) + b"PAR1",
}
for name, plain in FOOTERS.items():
    register(f"parquet {name}", content(lambda plain=plain: plain), "t.parquet", *BOTH)

DETAILS: dict[str, Callable[[], bytes]] = {
    "bomb of zeros": lambda: gzipped(3000),
    "bomb of brackets": lambda: gzipped(3000, b"", b"["),
    "bomb of spaces": lambda: gzipped(3000, b"{", b" "),
    "bomb of digits": lambda: gzipped(800, b"", b"9"),
    "many members": lambda: gzip.compress(b" " * 2**20, mtime=0) * 3000,
    "gzip within gzip": lambda: gzip.compress(gzipped(3000)),
    "not gzip": lambda: b"{}",
    "deep": lambda: gzip.compress(b"[" * 10**6 + b"]" * 10**6),
    "a pickle": lambda: gzip.compress(b"cio\nopen\n(V" + CANARY.encode() + b"\nVw\ntR."),
    "of another baseline": lambda: gzip.compress(json.dumps({"responses": {}}).encode()),
}
for name, made in DETAILS.items():
    register(f"details, {name}", content(made), "base.details", "details")


@attack("study archive whose audit is 250 MB", "study.tar.gz", "study")
def large_audit(path: Path, good: Harmless) -> None:
    parts = []
    for file in sorted(good.study.rglob("*")):
        name, stored = file.relative_to(good.study).as_posix(), file.read_bytes() if file.is_file() else b""
        if file.name == "audit.json":
            start = tar_file(parts)[:-1024] + member(name, 248 * 2**20).tobuf(tarfile.GNU_FORMAT)
        elif file.is_file():
            parts.append((member(name, len(stored)), stored))
    path.write_bytes(gzipped(248, start, b" "))


@attack("study archive of links to files outside", "study.tar", "study")
def linked_study(path: Path, good: Harmless) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for file in sorted(good.study.rglob("*")):
            info = member(file.relative_to(good.study).as_posix(), kind=tarfile.SYMTYPE, link=str(file))
            if file.is_file():
                made.addfile(info)
    path.write_bytes(out.getvalue())
