"""JSON, TOML, CSV and safetensors headers that are too deep, too large, or drawn with control characters."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

from hostile.corpus import Harmless, Make, content, register

ESCAPES = "\x1b[31mred\x9b2J\x07\x7f\u202egnidliub\u2066\x00\r"
TOMLS = ("schema", "groups", "spec", "config", "study plan")
JSONS = ("baseline", "audit", "study record", "study audit")

JSON: dict[str, Callable[[], bytes]] = {
    "deep lists": lambda: b"[" * 10**6 + b"]" * 10**6,
    "deep dictionaries": lambda: b'{"a":' * 500_000 + b"1" + b"}" * 500_000,
    "deep, not closed": lambda: b"[" * 4 * 10**6,
    "a baseline with a deep part": lambda: (
        b'{"baseline_version": "1", "compared": ' + b"[" * 10**5 + b"]" * 10**5 + b"}"
    ),
    "an audit with a deep part": lambda: b'{"schema_version": "1.0", "latents": ' + b"[" * 10**5 + b"]" * 10**5 + b"}",
    "4 million digits": lambda: b'{"schema_version": ' + b"9" * 4 * 10**6 + b"}",
    "4,000 digits": lambda: b'{"baseline_version": ' + b"9" * 4000 + b"}",
    "a huge exponent": lambda: b'{"baseline_version": 1e999999999}',
    "a version of control characters": lambda: json.dumps({"baseline_version": ESCAPES}).encode(),
    "a version of 4 MB": lambda: json.dumps({"baseline_version": "x" * 4 * 10**6}).encode(),
    "a version that is a list": lambda: b'{"baseline_version": ["1"]}',
    "names of control characters": lambda: json.dumps({"schema_version": "1.0", ESCAPES: ESCAPES}).encode(),
    "nan": lambda: b"NaN",
    "a text": lambda: b'"baseline_version"',
    "nothing": lambda: b"",
    "zeros": lambda: bytes(4 * 10**6),
    "UTF-16": lambda: "{}".encode("utf-16"),
    "lone surrogates": lambda: b'{"schema_version": "\\ud800\\udfff\\ud800"}',
    "a name 10^5 times": lambda: b"{" + b'"a": 1, ' * 10**5 + b'"a": 1}',
    "10^5 names": lambda: json.dumps({f"k{number}": 1 for number in range(10**5)}).encode(),
}
for name, made in JSON.items():
    register(f"JSON: {name}", content(made), "a.json", *JSONS)

TOML: dict[str, Callable[[], bytes]] = {
    "deep lists": lambda: b"a = " + b"[" * 10**5 + b"]" * 10**5,
    "deep inline tables": lambda: b"a = " + b"{a=" * 50_000 + b"1" + b"}" * 50_000,
    "a dotted name of 10^4 parts": lambda: b".".join([b"a"] * 10**4) + b" = 1",
    "200 dotted names of 5,000 parts": lambda: b"\n".join(
        b".".join([b"a"] * 5000) + b".b%d = 1" % n for n in range(200)
    ),
    "a heading of 10^5 parts": lambda: b"[" + b".".join([b"a"] * 10**5) + b"]",
    "10^5 names": lambda: b"\n".join(b"k%d = 1" % n for n in range(10**5)),
    "10^5 headings": lambda: b"\n".join(b"[t%d]" % n for n in range(10**5)),
    "10^5 tables of a list": lambda: b"[[gate]]\n" * 10**5,
    "gates by the thousand": lambda: b'[[gate]]\nmetric = "ces"\nlatent = "*"\nmax_drop = "10%"\n' * 40_000,
    "columns by the thousand": lambda: b"".join(b'[columns.c%d]\nkind = "numeric"\n' % n for n in range(50_000)),
    "groups by the thousand": lambda: (
        b"[groups]\n" + b"".join(b'g%d = ["*a*a*a*a*a*a*a*b"]\n' % n for n in range(50_000))
    ),
    "a pattern of stars": lambda: b'[groups]\ng = ["' + b"*?" * 20_000 + b'"]\n',
    "4 million digits": lambda: b"a = " + b"9" * 4 * 10**6,
    "a hexadecimal of 4 MB": lambda: b"a = 0x" + b"f" * 4 * 10**6,
    "a huge width": lambda: b'encode = "encoder"\ninput_width = 1000000000000\n',
    "parts that are attributes": lambda: b'encode = "__class__.__init__.__globals__"\ndecode = "apply"\n',
    "a text without end": lambda: b'a = """' + b"x" * 4 * 10**6,
    "an escape": lambda: b'a = "\\UFFFFFFFF"',
    "control characters": f"{json.dumps(ESCAPES)} = 1".encode,
    "control characters as they are": ESCAPES.encode,
    "a date": lambda: b"a = 9999-99-99T99:99:99",
    "UTF-16": lambda: "a = 1".encode("utf-16"),
    "zeros": lambda: bytes(4 * 10**6),
    "a name of 4 MB": lambda: b"a" * 4 * 10**6 + b" = 1",
    "equal signs": lambda: b"=" * 4 * 10**6,
}
# our checkpoint is read without a spec, which is checked for what it says only where it is used
UNUSED = ("a huge width", "parts that are attributes")
for name, made in TOML.items():
    register(
        f"TOML: {name}", content(made), "a.toml", *(role for role in TOMLS if role != "spec" or name not in UNUSED)
    )
    register(f"TOML: {name}, as circuitprobe.toml", content(made), "circuitprobe.toml", "config here")


def project(made: Callable[[], bytes]) -> Make:
    return lambda path, _: path.write_bytes(b"[tool.circuitprobe]\n" + made())


# what has nothing of ours under that heading is another tool's, and none of our business
for name in ("deep lists", "deep inline tables", "4 million digits", "zeros", "an escape"):
    register(f"TOML: {name}, in pyproject.toml", project(TOML[name]), "pyproject.toml", "config here")

HEADER = "height,weight,income,city,smoker,label"
CSV: dict[str, Callable[[], bytes]] = {
    "one line of 4 MB": lambda: b"x" * 4 * 10**6,
    "one cell of 4 MB": lambda: f"{HEADER}\n".encode() + b"x" * 4 * 10**6 + b",1,2,3,4\n" * 3,
    "one line of digits": lambda: f"{HEADER}\n".encode() + b"9" * 4 * 10**6,
    "10^5 columns": lambda: (
        ",".join(f"c{n}" for n in range(10**5)).encode() + b"\n" + b",".join([b"1"] * 10**5) + b"\n"
    ),
    "10^6 columns": lambda: (b"," * 10**6 + b"\n") * 3,
    "2 million columns of no name": lambda: b"a" + b"," * 2 * 10**6 + b"\n" + b"1" + b"," * 2 * 10**6,
    "tabs": lambda: b"\t" * 4 * 10**6,
    "only quotes": lambda: b'"' * 4 * 10**6,
    "a quote that is not closed": lambda: f'{HEADER}\n"'.encode() + b"a,b\n" * 10**6,
    "quotes on each line": lambda: f"{HEADER}\n".encode() + b'"a"b"c",\n' * 400_000,
    "only line ends": lambda: b"\n" * 4 * 10**6,
    "only carriage returns": lambda: b"\r" * 4 * 10**6,
    "zeros": lambda: bytes(4 * 10**6),
    "NUL in cells": lambda: f"{HEADER}\n".encode() + b"1,2,3,\0,yes,good\n" * 99,
    "NUL in the header": lambda: f"a\0b,{HEADER}\n".encode() + b"1,1,2,3,x,yes,good\n" * 99,
    "UTF-16 without a mark": lambda: f"{HEADER}\n1,2,3,4,5,6\n".encode("utf-16-le"),
    "UTF-16, cut off": lambda: (f"{HEADER}\n" + "1,2,3,x,yes,good\n" * 99).encode("utf-16")[:-1],
    "not UTF-8": lambda: bytes(range(128, 256)) * 9000,
    "control characters in the header": lambda: f"a{ESCAPES[:-2]},{HEADER}\n".encode() + b"1,1,2,3,x,yes,good\n" * 99,
    "control characters in cells": lambda: f"{HEADER}\n".encode() + f"{ESCAPES[:-2]},2,3,x,yes,good\n".encode() * 99,
    "control characters, one byte each": lambda: f"{HEADER}\n".encode() + b"\x9b31m,2,3,x,yes,good\n" * 99,
    "control characters instead of columns": lambda: "\n".join([ESCAPES[:-2]] * 99).encode(),
    "names alike": lambda: b",".join([b"a"] * 10**5) + b"\n" + b",".join([b"1"] * 10**5),
    "rows of different lengths": lambda: f"{HEADER}\n".encode() + b"\n".join(b"1," * n for n in range(1800)),
    "numbers of 10^5 digits": lambda: f"{HEADER}\n".encode() + (b"1e" + b"9" * 10**5 + b",2,3,x,yes,good\n") * 9,
    "as many kinds as rows": lambda: (
        f"{HEADER}\n".encode() + b"".join(b"v%d,1,2,%d,yes,good\n" % (n, n) for n in range(150_000))
    ),
    "a comment of a million": lambda: b"#\n" * 10**6 + f"{HEADER}\n".encode(),
    "decimal commas": lambda: f"{HEADER}\n".replace(",", ";").encode() + b'"1,1",2;3;x;yes;good\n' * 99,
    "an infinity": lambda: f"{HEADER}\n".encode() + b"inf,-inf,1e400,Rome,yes,good\n" * 99,
}
for name, made in CSV.items():
    register(f"CSV: {name}", content(made), "t.csv", "data", *(() if "NUL" in name or "cells" in name else ("model",)))


def safetensors(header: bytes, stored: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + stored


def entry(shape: object, start: int, end: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def of(entries: dict[str, object], stored: bytes = b"") -> bytes:
    return safetensors(json.dumps(entries).encode(), stored)


SAFETENSORS: dict[str, Callable[[], bytes]] = {
    "10^12 floats": lambda: of({"w": entry([10**12], 0, 4 * 10**12)}),
    "10^12 floats of four bytes": lambda: of({"w": entry([10**12], 0, 4)}, bytes(4)),
    "10^12 rows of nothing": lambda: of({"w": entry([10**12, 0], 0, 0)}),
    "sizes that overflow": lambda: of({"w": entry([2**32, 2**32], 0, 0)}),
    "sizes below zero": lambda: of({"w": entry([-1], 0, 4)}, bytes(4)),
    "overlapping": lambda: of({f"w{n}": entry([1000], 0, 4000) for n in range(9000)}, bytes(4000)),
    "a gap": lambda: of({"w": entry([1], 8, 12)}, bytes(12)),
    "an end before its start": lambda: of({"w": entry([1], 4, 0)}, bytes(4)),
    "deep": lambda: safetensors(b'{"w":' * 10**5 + b"1" + b"}" * 10**5),
    "deep lists": lambda: safetensors(b'{"w":' + b"[" * 10**6 + b"]" * 10**6 + b"}"),
    "a length of 99 MB": lambda: safetensors(b"{" + b" " * 999, length=99_999_999),
    "a length of 101 MB": lambda: safetensors(b"{" + b" " * 999, length=100_000_001),
    "a length of 2^63": lambda: safetensors(b"{}", length=2**63),
    "no length": lambda: safetensors(b"{", length=0),
    "spaces": lambda: safetensors(b"{" + b" " * 4 * 10**6 + b"}"),
    "30,000 tensors of nothing": lambda: of({f"w{n}": entry([0], 0, 0) for n in range(30_000)}),
    "a name twice": lambda: safetensors(
        b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"I64","shape":[],"data_offsets":[0,4]}}',
        bytes(4),
    ),
    "names of control characters": lambda: of({ESCAPES: entry([1], 0, 4)}, bytes(4)),
    "notes of control characters": lambda: of({"__metadata__": {ESCAPES: ESCAPES}, "w": entry([1], 0, 4)}, bytes(4)),
    "an unknown type": lambda: of({"w": entry([1], 0, 4, ESCAPES)}, bytes(4)),
    "a type of four bits": lambda: of({"w": entry([3], 0, 4, "F4")}, bytes(4)),
    "10^5 sides": lambda: of({"w": entry([1] * 10**5, 0, 4)}, bytes(4)),
    "not UTF-8": lambda: safetensors(b'{"\xff\xfe":1}'),
}
for name, made in SAFETENSORS.items():
    register(f"safetensors: {name}", content(made), "m.safetensors", "model", "data")


def in_diffusers(made: Callable[[], bytes]) -> Make:
    def make(path: Path, good: Harmless) -> None:
        from hostile.pickles import diffusers

        diffusers("diffusion_pytorch_model.safetensors", made())(path, good)

    return make


for name in ("10^12 floats", "deep", "a length of 99 MB", "names of control characters", "10^12 rows of nothing"):
    register(f"safetensors: {name}, of diffusers", in_diffusers(SAFETENSORS[name]), "saved", "model")
