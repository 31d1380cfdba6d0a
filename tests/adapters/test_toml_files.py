"""The one reader of TOML files: what is too large, too deep or no file is refused in a moment, whatever the file is for."""

from __future__ import annotations

import json
import os
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from circuitprobe.adapters.data import TableSchema
from circuitprobe.adapters.data.groups import load_groups
from circuitprobe.adapters.models.spec import ModelSpec
from circuitprobe.adapters.toml_file import MOST_DEPTH, load_toml, parse_toml
from circuitprobe.adapters.user_files import MOST_TEXT
from circuitprobe.errors import CircuitProbeError, DataError
from circuitprobe.gate.config import load_gates
from circuitprobe.study.plan import plan_of, read_plan

READERS: dict[str, Callable[[Path], object]] = {
    "schema": TableSchema.load,
    "groups": lambda path: load_groups(path, ("a", "b")),
    "spec": ModelSpec.load,
    "gates": load_gates,
    "study": read_plan,
}
BOMBS = {
    "arrays": "a = " + "[" * 100_000,
    "closed arrays": "a = " + "[" * 5000 + "]" * 5000,
    "inline tables": "a = " + "{a = " * 5000 + "1" + "}" * 5000,
    "arrays in tables": "a = " + "[{a = " * 2000 + "1" + "}]" * 2000,
    "dotted key": ".".join(["a"] * 10_000) + " = 1",
    "quoted dotted key": " . ".join(['"a.b"'] * 10_000) + " = 1",
    "dotted heading": "[" + ".".join(["a"] * 1_000_000) + "]",
    "dotted key after strings": 'x = """[[[ a.b """ # \'\'\'\n' + ".".join(["a"] * 200_000) + " = 1",
    "escaped quotes": 'a = "' + '\\"' * 500_000,
    "open string": 'a = """' + "[" * 1_000_000,
    "long integer": "a = " + "9" * 100_000,
    "long hexadecimal": "encode = 0x" + "f" * 1_000_000,
    "long key": "k" * 1_000_000 + " = 1",
    "many keys": "\n".join(f"k{number} = 1" for number in range(100_000)),
    "many tables": "\n".join(f"[t{number}.a.b.c]\nk = 1" for number in range(50_000)),
    "many values": "encode = [" + "1," * 1_000_000 + "]",
    "no date": "a = 1979-99-99",
    "large": "# " + "x" * MOST_TEXT,
    "not text": "a = '\udcff'",
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("kind", READERS)
def test_bombs_are_refused_in_a_moment(tmp_path: Path, kind: str, bomb: str) -> None:
    path = tmp_path / "file.toml"
    path.write_bytes(BOMBS[bomb].encode("utf-8", errors="surrogateescape"))
    began = time.process_time()
    with pytest.raises(CircuitProbeError) as error:
        READERS[kind](path)
    assert time.process_time() - began < 20
    assert len(str(error.value)) < 20_000


@pytest.mark.parametrize("kind", READERS)
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    pipe, socket = tmp_path / "pipe", tmp_path / "loop"
    os.mkfifo(pipe)
    socket.symlink_to(socket)
    for path in (
        pipe,
        tmp_path,
        Path("/dev/zero"),
        socket,
        tmp_path / "none.toml",
        tmp_path / ("x" * 300),
        tmp_path / "a\0b",
    ):
        with pytest.raises(CircuitProbeError):
            READERS[kind](path)


@pytest.mark.parametrize(
    "text",
    [
        "[[[", "a = '[[['\n" * 50, 'a = """\n' + "[" * 99 + '"""', "# " + "[" * 99 + "\na = 1", "a = 'b" + ".c" * 99 + "'",
        "a = " + "[" * MOST_DEPTH + "]" * MOST_DEPTH, "[a.b.c]\nd.e.f = {g = [[1.5, 2.5], []]}", 'a = """x""""',
        'a = "\\""\nb = [1]',
        "a = '''it''''", "a = 1.5\nb = 1.5e300\nc = 07:32:00.999", "\ufeffa = 1",
    ],
)  # fmt: skip
def test_files_within_the_bounds_are_read_as_tomllib_reads_them(text: str) -> None:
    try:
        expected = tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        with pytest.raises(DataError, match=r"is not valid TOML"):
            parse_toml(text.encode(), "x")
        assert error
    else:
        assert parse_toml(text.encode(), "x") == expected


def test_integers_have_64_bits() -> None:
    assert parse_toml(b"a = 9223372036854775807\nb = -9223372036854775808", "x") == {"a": 2**63 - 1, "b": -(2**63)}
    with pytest.raises(DataError, match=r"says a\.b = an integer of 65 bits"):
        parse_toml(b"[a]\nb = [1, -9223372036854775809, 0x1ffffffffffffffff]", "x")


WRONG: tuple[Any, ...] = (
    "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "nan", "-inf", "true", "[]", "[[]]", "{}", "[{}]", "{a = 1}", "''", "0", "-1",
    "9223372036854775807", "[1979-05-27]", "'\\u0000'", '"\\u0000"', '["\\u202e"]',
)  # fmt: skip
KEYS = {
    "schema": (
        "separator", "encoding", "missing", "scaling", "target", "columns", "columns.a", "columns.a.kind", "columns.a.center",
        "columns.a.categories", "other",
    ),
    "groups": ("groups", "groups.a", "other"),
    "spec": ("encode", "decode", "posterior", "output", "input_width", "other"),
    "gates": ("gate", "tool", "other"),
    "study": ("format", "grid", "grid.seeds", "table", "table.steps", "audit", "audit.rows", "versions", "other"),
}  # fmt: skip


@pytest.mark.parametrize("kind", READERS)
def test_odd_values_give_a_message_or_are_taken(tmp_path: Path, kind: str) -> None:
    """Nothing but an error with a message comes out of any value in any place."""
    path = tmp_path / "file.toml"
    refused = 0
    for key in KEYS[kind]:
        for value in WRONG:
            path.write_text(f"{key} = {value}\n")
            try:
                READERS[kind](path)
            except CircuitProbeError as error:
                assert "try:" in str(error)
                refused += 1
    assert refused > len(KEYS[kind]) * len(WRONG) // 3


@pytest.mark.parametrize("key", ["metric", "latent", "group", "min", "max", "max_drop", "level", "other"])
def test_odd_values_in_a_gate(tmp_path: Path, key: str) -> None:
    path = tmp_path / "file.toml"
    for value in WRONG:
        path.write_text(f"[[gate]]\n{'' if key == 'metric' else 'metric = ' + json.dumps('ces')}\n{key} = {value}\n")
        try:
            (gate,), _ = load_gates(path)
        except CircuitProbeError as error:
            assert "try:" in str(error)
        else:
            # a number that some figure can break
            assert key in ("min", "max", "max_drop")
            drop = None if gate.max_drop is None else gate.max_drop.amount
            assert [float(value)] == [taken for taken in (gate.low, gate.high, drop) if taken is not None]


def test_a_study_of_a_million_runs_is_refused() -> None:
    seeds = ", ".join(map(str, range(60_000)))
    with pytest.raises(CircuitProbeError, match=r"a study has 50,000 at most"):
        plan_of(f"[grid]\nseeds = [{seeds}]\n[audit]\nrows = {{}}\nlevels = [2]\n".encode(), "study.toml")


def test_the_class_of_the_error_is_the_callers(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no gate file"):
        load_toml(tmp_path / "none.toml", what="gate file")
