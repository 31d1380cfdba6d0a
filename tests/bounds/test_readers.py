"""The bounded readers themselves: what is in bounds comes out unchanged, what is beyond is refused by its bytes, not its word."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import as_strided
from pydantic import BaseModel

import circuitprobe as cp
from circuitprobe.adapters.archives import Bounds, ZipReader, gunzip, inflated, read_tar
from circuitprobe.adapters.data import array_data, array_rows
from circuitprobe.adapters.data.raw_file import find_file
from circuitprobe.adapters.data.reservoir import MOST_KEYS, drawn_rows
from circuitprobe.adapters.models.exported_bounds import Expressions
from circuitprobe.adapters.models.pickles import BeyondBoundsError, Contents, scan
from circuitprobe.adapters.models.tensor_pickles import check_archive
from circuitprobe.adapters.user_files import NotAFileError, TooLargeError, files_below, open_file, read_file
from circuitprobe.errors import DataError, ModelError
from circuitprobe.report.sampled import sampled, validated

SMALL = Bounds("a small file", DataError, "another", per_byte=10, free=1000, entries=5, entry=10_000)


def zipped(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_zip_in_bounds(tmp_path: Path) -> None:
    entries = {"a": b"x" * 500, "b": os.urandom(300), "c": b""}
    with ZipReader(zipped(tmp_path / "a.zip", entries), SMALL, "a.zip") as archive:
        archive.check()
        assert {name: archive.read(name) for name in archive.names} == entries
        with archive.open("a") as handle:
            assert handle.read() == entries["a"]


@pytest.mark.parametrize(
    ("entries", "method", "words"),
    [
        ({"a": bytes(100_000)}, zipfile.ZIP_DEFLATED, "would inflate to 100,000"),
        ({str(n): b"" for n in range(6)}, zipfile.ZIP_STORED, "6 entries"),
        ({"a": b"x"}, zipfile.ZIP_BZIP2, "method 12"),
        ({"a": b"x"}, zipfile.ZIP_LZMA, "method 14"),
    ],
)
def test_zip_beyond_bounds(tmp_path: Path, entries: dict[str, bytes], method: int, words: str) -> None:
    with pytest.raises(DataError, match=words), ZipReader(zipped(tmp_path / "a.zip", entries, method), SMALL, "a.zip"):
        pass


def test_a_size_in_the_directory_is_not_believed(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a": bytes(100_000)})
    content = bytearray(path.read_bytes())
    at = content.rfind(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 10)
    path.write_bytes(content)
    with ZipReader(path, SMALL, "a.zip") as archive, pytest.raises(zipfile.BadZipFile):
        archive.read("a")


def test_archives_inside_archives_share_one_budget(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner", {"a": bytes(1_500)}).read_bytes()
    path = zipped(tmp_path / "a.zip", {str(number): inner for number in range(4)}, zipfile.ZIP_STORED)
    bounds = Bounds("a file", DataError, "another", per_byte=2, free=2_000)
    with ZipReader(path, bounds, "a.zip") as outer, pytest.raises(DataError, match="inflate"):
        for name in outer.names:
            with ZipReader(outer.read(name), bounds, name, outer.budget) as archive:
                archive.read("a")


def test_a_second_directory_is_found(tmp_path: Path) -> None:
    out = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, out)
    for name, content in (("front", b"x" + out.getvalue()), ("behind", out.getvalue() + b"x")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises((zipfile.BadZipFile, ModelError)), ZipReader(tmp_path / name, SMALL_MODEL, name) as archive:
            check_archive(archive)


SMALL_MODEL = Bounds("a model", ModelError, "another", per_byte=2)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, bytes], ids=lambda f: f.__name__)
def test_compressed_streams(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    content = os.urandom(3_000)
    (tmp_path / "a").write_bytes(pack(content))
    with inflated(open_file(tmp_path / "a"), SMALL, "a") as handle:
        assert handle.read() == content
    if pack is not bytes:
        (tmp_path / "a").write_bytes(pack(bytes(100_000)))
        with (
            inflated(open_file(tmp_path / "a"), SMALL, "a") as handle,
            pytest.raises(DataError, match="inflates to more"),
        ):
            while handle.read(1_000):
                pass


def test_gunzip() -> None:
    assert gunzip(gzip.compress(b"abc"), SMALL, "a") == b"abc"
    with pytest.raises(DataError, match="inflates to more"):
        gunzip(gzip.compress(bytes(10_000_000)), SMALL, "a")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_tar(tmp_path: Path, mode: Any) -> None:
    content = {"a": os.urandom(900), "b/c": b"", "d": os.urandom(600)}
    with tarfile.open(tmp_path / "a.tar", mode) as archive:
        for name, held in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(held)
            archive.addfile(member, io.BytesIO(held))
    with read_tar(tmp_path / "a.tar", Bounds("a tar", DataError, "another", per_byte=50)) as reader:
        assert {name: reader.read(name) for name in reversed(reader.names)} == content
        assert reader.read("x") is None


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_tar_of_other_members(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("a")
    member.type, member.linkname = kind, "/dev/zero"
    (tmp_path / "a.tar").write_bytes(member.tobuf() + bytes(2048))
    with pytest.raises(DataError, match="a link, a device or a file with holes"), read_tar(tmp_path / "a.tar", SMALL):
        pass


def test_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert read_file(tmp_path / "a", 3) == b"abc"
    with pytest.raises(TooLargeError):
        read_file(tmp_path / "a", 2)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(NotAFileError):
            open_file(tmp_path / name)
    with pytest.raises(NotAFileError):
        list(files_below(tmp_path, 10))
    with pytest.raises(TooLargeError):
        list(files_below(tmp_path, 2))


@pytest.mark.parametrize("total", [MOST_KEYS + 1, 10**12])
def test_rows_of_very_many(total: int) -> None:
    index = drawn_rows(total, 2_048, 3)
    assert len(np.unique(index)) == 2_048
    assert (np.diff(index) > 0).all()
    assert 0.4 * total < index.mean() < 0.6 * total
    np.testing.assert_array_equal(index, drawn_rows(total, 2_048, 3))


def test_expanded_rows_are_never_made() -> None:
    row = torch.tensor([0.0, 1.0, 2.0])
    for many in (row.expand(10**12, 3), as_strided(row.numpy(), (10**12, 3), (0, 4))):
        x, features, index, total = array_data(many, rows=50)
        assert (x.shape, len(features), len(index), total) == ((50, 3), 3, 50, 10**12)
        assert (x == [0.0, 1.0, 2.0]).all()
    images = array_rows(torch.zeros(1).expand(10**12, 4, 4), rows=7, seed=0)
    assert (images.values.shape, images.total) == ((7, 4, 4), 10**12)
    with pytest.raises(DataError, match="1,000,000,000,000 of its values are not finite"):
        array_data(torch.tensor([0.0, float("nan")]).expand(10**12, 2))


def test_expanded_rows_are_audited_or_refused(csv: Path, checkpoint: Path) -> None:
    width = cp.load(checkpoint).encoding.width  # type: ignore[union-attr]
    with pytest.raises((DataError, ModelError)):
        cp.audit(cp.load(checkpoint), torch.zeros(1).expand(10**12, width + 1))


@pytest.mark.parametrize("text", [
    "Symbol('s77', positive=True, integer=True)", "Mul(Integer(3), Symbol('s0', integer=True))", "s0*64 - 1", "int_oo",
    "Pow(Symbol('s0', integer=True), Integer(2))", "FloorDiv(Add(Symbol('s1'), Integer(-1)), Integer(2))", "Max(1, s0 // 2)",
])  # fmt: skip
def test_sizes_of_real_programs(text: str) -> None:
    assert Expressions().check(text) == ""


@pytest.mark.parametrize("text", [
    "9**9**9**9", "Pow(Integer(9), Symbol('s0'))", "Pow(Pow(s0, Integer(4)), Integer(4))", "Pow(Integer(2), Integer(5))",
    "Pow(s0, Integer(-1))", "LShift(Integer(1), Integer(9))", "Integer(9223372036854775808)", "open('x')", "().__class__",
    "Symbol(open('x'))", "Symbol('s0', positive=open('x'))", "[1]", "Add(*s0)", "lambda: 1", "Integer('" + "9" * 500 + "')",
    "Mul(" + ", ".join(["Add(s0, s1)"] * 7) + ")", "Max(" * 9 + "s0" + ")" * 9, "x" * 2_000,
])  # fmt: skip
def test_sizes_that_are_none(text: str) -> None:
    assert Expressions().check(text) != ""


def test_a_long_part_of_a_pickle_is_passed_over() -> None:
    content = b"\x80\x04\x8e" + struct.pack("<Q", 3_000_000) + bytes(3_000_000) + b"cposix\nsystem\n."
    assert scan(Contents.of(content)).imports == ("posix.system",)
    assert not scan(Contents.of(content[:-3_000])).whole


def test_what_is_saved_in_several_shapes_is_read(tmp_path: Path) -> None:
    base = torch.arange(24.0)
    kept = {
        "transposed": base.reshape(4, 6).t(), "part": base[5:9], "tied": base, "again": base,
        "flag": torch.ones(2, dtype=torch.bool), "half": base.half(), "none": torch.zeros(0, 7),
        "one": torch.tensor(1.0), "row": base[:3].expand(5, 3),
        "parameter": torch.nn.Parameter(base), "settings": {"a": [1, (2, "x")], "s": {1, 2}, "b": bytearray(b"x"), "c": 1j},
        "size": torch.Size([1, 2]), "wide": torch.ones(4, dtype=torch.uint16), "device": torch.device("cpu"),
    }  # fmt: skip
    for older in (False, True):
        if older:
            # a type of later date than the older format
            del kept["wide"]
        torch.save(kept, tmp_path / "m.pt", _use_new_zipfile_serialization=not older)
        from circuitprobe.adapters.models.tensor_pickles import load_tensors

        read = load_tensors(tmp_path / "m.pt", archive=not older, bounds=SMALL_MODEL)
        assert read.keys() == kept.keys()
        assert torch.equal(read["transposed"], kept["transposed"])
        assert read["settings"] == kept["settings"]
        assert torch.equal(read["row"], kept["row"])


def test_tensors_beyond_their_storage_are_refused(tmp_path: Path) -> None:
    torch.save(torch.zeros(1).expand(10**7, 10**7), tmp_path / "m.pt")
    with ZipReader(tmp_path / "m.pt", SMALL_MODEL, "m.pt") as archive, pytest.raises(BeyondBoundsError):
        check_archive(archive)


def test_a_table_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(DataError, match="a pipe or a device"):
        find_file(tmp_path / "t.csv")


def test_reports_of_any_length_are_validated_whole(tmp_path: Path) -> None:
    pairs = {"rows": [{"ends": [n, n + 1], "names": {str(k): k for k in range(300)}} for n in range(500)]}
    kept = sampled(pairs)
    assert 2 <= len(kept["rows"]) <= 64
    assert all((len(row["ends"]) == 2 and row in pairs["rows"]) or len(row["names"]) < 300 for row in kept["rows"])
    with pytest.raises(ValueError, match="rows"):
        validated(Rows, json.dumps({"rows": [0] * 499 + ["x"] + [0] * 500}))
    assert len(validated(Rows, json.dumps({"rows": [1] * 1_000})).rows) == 1_000


class Rows(BaseModel):
    rows: list[int]
