"""Whatever files, columns, categories, classes and arguments are called, no control character of theirs reaches a terminal."""

from __future__ import annotations

import ast
import itertools
import json
import os
import pickle
import pty
import re
import sys
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from gate_files import audit_file, weak_z0
from torch import nn

import circuitprobe
from circuitprobe.cli import app
from circuitprobe.shell import guarded
from circuitprobe.text import visible, visible_lines

TAGS = "".join(map(chr, range(0xE0061, 0xE0064)))
INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad\u034f\ufe00" + TAGS
STEERS = "\x1b[31m\x1b]0;title\x07\x1b[2J\b\r\x9b5n\x9d\x7f\x00\u202a\u202e\u2066\u2069\u2028\u2029" + INVISIBLE
NAMED = STEERS.replace("\x00", "")
"""What a file may be called."""
OFTEN = {"\n", "\t"}


def steering(text: str) -> set[str]:
    """The characters of a text that a terminal obeys, or does not show."""
    found = {letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn")}
    return (found | (set(INVISIBLE) & set(text))) - OFTEN


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / f"in {NAMED}\udc9b"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "120")
    return place


def models(place: Path) -> Iterator[Path]:
    """Files of every kind that are no models, or hold names that steer."""
    plain = nn.Linear(3, 2).state_dict()
    for number, content in enumerate(
        (
            {f"w{STEERS}": torch.ones(2)},
            {"state_dict": {f"{STEERS}.weight": torch.ones(2, 2)}, STEERS: STEERS},
            [STEERS],
            STEERS,
            plain,
        )
    ):
        yield place / f"{number}{NAMED}.pt"
        torch.save(content, place / f"{number}{NAMED}.pt")
    for number, kind in enumerate((f"os{NAMED}", f"builtins{STEERS}")):
        yield place / f"pickle{number}.pt"
        name = f"system{STEERS}".encode("utf-8", "surrogatepass")
        module = kind.encode("utf-8", "surrogatepass")
        parts = b"".join(b"\x8c" + bytes([len(part)]) + part for part in (module, name) if len(part) < 256)
        (place / f"pickle{number}.pt").write_bytes(b"\x80\x04" + parts + b"\x93)R.")
    yield place / "p.pkl"
    (place / "p.pkl").write_bytes(pickle.dumps({STEERS: [STEERS]}))
    for suffix in (".pt", ".pt2", ".safetensors", ".npz", ".zip", ""):
        with zipfile.ZipFile(place / f"z{suffix}", "w") as archive:
            archive.writestr(f"{NAMED}/data.pkl", pickle.dumps({STEERS: 1}))
        yield place / f"z{suffix}"
    header = json.dumps({STEERS: {"dtype": STEERS, "shape": [1], "data_offsets": [0, 4]}}).encode()
    (place / "h.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    yield place / "h.safetensors"
    saved = place / f"saved{NAMED}"
    saved.mkdir()
    for name in ("config.json", "model_config.json", "model_index.json"):
        (saved / name).write_text(json.dumps({"name": STEERS, "_class_name": STEERS, "architectures": [STEERS]}))
    yield saved
    yield place / f"none{NAMED}.pt"


def tables(place: Path) -> Iterator[Path]:
    """Data whose columns, categories and names steer."""
    name = f"c{NAMED}"
    frame = pd.DataFrame({name: np.arange(60.0) % 7, f"d{NAMED}": [f"x{NAMED}", "y"] * 30, "e": np.arange(60.0) % 5})
    for path, write in (
        (place / f"t{NAMED}.csv", lambda path: frame.to_csv(path, index=False)),
        (place / f"t{NAMED}.parquet", lambda path: path.write_bytes(frame.to_parquet())),
        (place / "latin.csv", lambda path: path.write_bytes(f"a{NAMED},b\n".encode() + b"\x9b,1\n\x85,2\n")),
        (place / "ragged.csv", lambda path: path.write_text(f"a{NAMED},b\n1,2\n{NAMED}\n")),
        (place / "quote.csv", lambda path: path.write_text(f'a{NAMED},b\n1,"2{NAMED}\n3,4\n')),
        (place / "double.csv", lambda path: path.write_text(f"a{NAMED},a{NAMED}\n1,2\n3,4\n")),
        (place / "one.csv", lambda path: path.write_text(f"a{NAMED}\n{NAMED}\n{NAMED}\n")),
        (place / f"n{NAMED}.npz", lambda path: np.savez(path.open("wb"), **{f"k{NAMED}": np.array(["a"]), "b": np.ones(3)})),
        (place / f"n{NAMED}.npy", lambda path: np.save(path.open("wb"), np.array([STEERS]))),
        (place / f"n{NAMED}.pt", lambda path: torch.save({STEERS: torch.ones(3), STEERS * 2: STEERS}, path)),
        (place / f"bad{NAMED}.parquet", lambda path: path.write_bytes(b"PAR1" + STEERS.encode())),
    ):  # fmt: skip
        write(path)
        yield path
    pictures = place / f"pictures{NAMED}"
    (pictures / f"class{NAMED}").mkdir(parents=True)
    for number in range(3):
        (pictures / f"class{NAMED}" / f"{number}{NAMED}.png").write_bytes(STEERS.encode())
    yield pictures


def settings(place: Path) -> Iterator[Path]:
    """TOML whose keys and values steer."""
    quoted = json.dumps(NAMED)
    for number, text in enumerate(
        (
            f"{quoted} = 1", f"separator = {quoted}", f"encoding = {quoted}", f"scaling = {quoted}", f"target = {quoted}",
            f"[columns.{quoted}]\nkind = 'numeric'", f"[columns.e]\nkind = {quoted}", f"[columns.e]\n{quoted} = 1",
            f"[columns.e]\nkind = 'categorical'\ncategories = [{quoted}, {quoted}]", f"[groups]\n{quoted} = [{quoted}]",
            f"encode = {quoted}", f"posterior = [{quoted}]", f"output = {quoted}",
            f"[[gate]]\nmetric = {quoted}", f"[[gate]]\nmetric = 'ces'\nlatent = {quoted}\nmin = 0.1",
            f"[[gate]]\nmetric = 'ces'\nmax_drop = {quoted}", f"[grid]\narchitectures = [{quoted}]", f"a = {NAMED}", f"# {NAMED}",
            "[",
        )
    ):  # fmt: skip
        (place / f"s{number}{NAMED}.toml").write_text(text)
        yield place / f"s{number}{NAMED}.toml"


def audits(place: Path) -> Iterator[Path]:
    """Audits and baselines with names that steer: whole ones, and ones with such a text in each place in turn."""
    name = f"g{STEERS}"
    whole = audit_file(place / f"whole{NAMED}.json", groups=((name, (f"f{STEERS}", "b")), ("c", ("d",))))
    yield whole
    content = json.loads(whole.read_text())
    for number, key in enumerate(content):
        (place / f"a{number}.json").write_text(json.dumps({**content, key: STEERS}))
        yield place / f"a{number}.json"
    for number, other in enumerate(({STEERS: 1}, STEERS, {"baseline_version": STEERS}, {**content, STEERS: STEERS})):
        (place / f"b{number}.json").write_text(json.dumps(other))
        yield place / f"b{number}.json"
    (place / f"cut{NAMED}.json").write_text('{"' + NAMED)
    yield place / f"cut{NAMED}.json"


def code(place: Path) -> Iterator[Path]:
    """Python whose errors steer."""
    for number, text in enumerate(
        (
            f"raise ValueError({STEERS!r})",
            f"class Net:\n    def __getattr__(self, name): raise OSError({STEERS!r})",
            f"print({STEERS!r})\ndef make(): return {STEERS!r}",
            f"def make(): raise RuntimeError({STEERS!r})",
            f"x = '{NAMED}",
            f"import no_{STEERS!r}",
        )
    ):
        (place / f"code{number}.py").write_text(text)
        yield place / f"code{number}.py"


def commands(place: Path) -> Iterator[tuple[object, ...]]:
    """Wrong command lines of every kind, one for each file and option at least."""
    model, data = list(models(place)), list(tables(place))
    table = data[0]
    for each in model:
        yield "inspect", each
        yield "inspect", each, "--trust"
    for each, other in zip(itertools.cycle(model), data, strict=False):
        yield "audit", each, other, "--trust"
        yield "train", other, "--out", f"out{NAMED}/x.pt", "--steps", "2", "--quiet"
        yield "train", other, "--out", "x.pt", "--steps", "2", "--target", STEERS.replace("\0", "")
    trained = place / "trained.pt"
    yield "train", table, "--out", trained, "--steps", "3", "--latents", "2"
    for each in data:
        yield "inspect", trained, each
        yield "audit", trained, each, "--levels", "2", "--rows", "40"
    for each in settings(place):
        yield "audit", trained, table, "--schema", each
        yield "audit", trained, table, "--groups", each
        yield "inspect", trained, "--spec", each
        yield "check", "none.json", "--baseline", "none.json", "--config", each
        yield "study", "run", "--out", f"study{NAMED}", "--study", each
    for each in code(place):
        yield "inspect", trained, "--import", each, "--trust"
        yield "inspect", model[0], "--factory", f"{each}:make", "--trust", "--import", each
    known = list(audits(place))
    for each in known:
        yield "check", each, "--baseline", known[0]
        yield "check", known[0], "--baseline", each
        yield "compare", each, known[0]
        yield "baseline", each, "--out", f"out{NAMED}.json"
        yield "study", "report", each
    for option in (
        "--target",
        "--condition",
        "--ignore",
        "--array",
        "--grid",
        "--pixels",
        "--levels",
        "--sites",
        "--memory",
        "--backend",
    ):
        yield "audit", trained, table, option, NAMED
    for option in (
        "--rows",
        "--seed",
        "--device",
        "--entry",
        "--factory",
        "--json",
        "--schema",
        "--spec",
        f"--{NAMED}",
    ):
        yield "audit", trained, table, option, f"a{NAMED}"
    yield from (
        (NAMED,),
        ("data", NAMED),
        ("data", "export", NAMED, "x.csv"),
        ("schema", "--of", NAMED),
        ("study", NAMED),
    )
    yield "data", "export", "wine_quality", f"x{NAMED}"
    for arch in ("--arch", "--steps", "--beta", "--device"):
        yield "train", table, "--out", "y.pt", arch, NAMED
    yield "study", "report", f"none{NAMED}"
    yield "study", "audit", *model[:2], "--data", table, "--out", f"audits{NAMED}", "--workers", "1", "--levels", NAMED
    broken = place / "broken study"
    broken.mkdir()
    (broken / "study.toml").write_text(f"[grid]\nbenchmarks = [{json.dumps(NAMED)}]")
    yield "study", "report", broken
    (place / "s.tar.xz").write_bytes(STEERS.encode())
    yield "study", "report", place / "s.tar.xz"


@pytest.mark.parametrize("traceback", [False, True])
def test_no_error_steers_the_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], traceback: bool
) -> None:
    if traceback:
        monkeypatch.setenv("CIRCUITPROBE_TRACEBACK", "1")
    codes: dict[int, int] = {}
    shown = 0
    for line in commands(folder):
        monkeypatch.setattr(sys, "argv", ["circuitprobe", *map(str, line)])
        code = guarded(app)
        printed = "".join(capsys.readouterr())
        assert not steering(printed), (line, steering(printed), printed)
        assert "internal error" not in printed, (line, printed)
        codes[code] = codes.get(code, 0) + 1
        shown += r"\x1b" in printed or r"\u202e" in printed
    assert codes[2] > 150
    assert shown > 100


def test_a_warning_and_a_models_own_words_are_escaped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import warnings

    def run(**_: object) -> int:
        warnings.warn(STEERS, stacklevel=1)
        print(STEERS)  # noqa: T201
        sys.stderr.writelines([STEERS, "\n"])
        raise ValueError(STEERS)

    monkeypatch.setattr(warnings, "showwarning", lambda message, *_, **__: sys.stderr.write(f"{message}\n"))
    before = sys.stdout, sys.stderr
    assert guarded(run) == 2
    assert (sys.stdout, sys.stderr) == before
    printed = capsys.readouterr()
    assert not steering(printed.out + printed.err)
    assert r"\x1b[31m\x1b]0;title\x07" in printed.out
    assert printed.err.count(r"\u202e") >= 3


def test_a_terminal_keeps_its_colours_and_gets_no_others(tmp_path: Path) -> None:
    """In a terminal of its own, by the entry point: colours of the report are there, sequences of the content are not."""
    groups = (("\x1b]0;title\x07", ("\x1b[2J\u202e",)), ("c", ("d",)))
    audit, worse = (
        audit_file(tmp_path / f"\x1b[2J\u202e{number}.json", change, groups=groups)
        for number, change in enumerate((lambda content: None, weak_z0))
    )
    child, end = pty.fork()
    if not child:
        os.environ |= {
            "TERM": "xterm-256color",
            "COLUMNS": "160",
            "PYTHONPATH": str(Path(circuitprobe.__file__).parents[1]),
        }
        line = [sys.executable, "-m", "circuitprobe", "check", str(worse), "--baseline", str(audit)]
        os.execv(sys.executable, line)  # noqa: S606 - the program under test
    text = b""
    try:
        while part := os.read(end, 65536):
            text += part
    except OSError:
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    shown = text.decode("utf-8").replace("\r\n", "\n")
    assert "\x1b[" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert not steering(plain)
    assert r"\x1b" in plain


OTHERS = ("\ud800", "\udc9b", "\n", "\t", "\u2067", "\ufff9", "\U000e0001", "\ue000")


@pytest.mark.parametrize("letter", [*sorted(set(STEERS)), *OTHERS])
def test_every_letter_is_shown_as_python_writes_it(letter: str) -> None:
    assert visible(f"a{letter}b") == "a" + letter.encode("unicode_escape").decode() + "b"
    assert visible(visible(letter)) == visible(letter)
    assert visible_lines(f"a{letter}b") == (f"a{letter}b" if letter in OFTEN else visible(f"a{letter}b"))


def test_letters_of_all_languages_stay() -> None:
    text = "größe 日本語 العربية हिन्दी 😀 e\u0301 ∅ →"
    assert visible(text) == visible_lines(text) == text


ALLOWED = {"streams.py", "console.py"}
"""What may write to a terminal by itself."""
OWN_STREAMS = {"shell.py", "cli_help.py", "report/progress.py", "study/worker.py", "cli.py"}
"""What may name the standard streams: each writes to them, or redirects them, through the escapes or into a log."""


def test_there_is_no_way_to_a_terminal_but_one() -> None:
    root = Path(circuitprobe.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        name = str(path.relative_to(root))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            seen = node.func if isinstance(node, ast.Call) else node
            used = ast.unparse(seen) if isinstance(seen, ast.Attribute | ast.Name) else ""
            calls = r"(rich\.)?print|input|typer\.(echo|secho)|click\.\w+|Console|rich\.get_console|os\.write"
            if isinstance(node, ast.Call) and re.fullmatch(calls, used):
                found.add((name, used))
            if re.fullmatch(r"sys\.__(stdout|stderr)__|sys\.(stdout|stderr)\.buffer", used):
                found.add((name, used))
            if re.fullmatch(r"sys\.(stdout|stderr)", used) and name not in OWN_STREAMS | ALLOWED:
                found.add((name, used))
    assert {entry for entry in found if entry[0] not in ALLOWED} == set()
