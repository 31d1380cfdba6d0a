"""Gates in TOML: what is read, where from, and every way in which a gate makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitprobe.errors import DataError, UsageError
from circuitprobe.gate.config import DEFAULT, KEYS, Drop, Gate, check_gate, load_gates
from circuitprobe.gate.metrics import NAMES

TOP, NESTED = "[[gate]]", "[[tool.circuitprobe.gate]]"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, name: str = "circuitprobe.toml") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def refused(text: str, name: str = "circuitprobe.toml") -> UsageError:
    with pytest.raises(UsageError) as caught:
        load_gates(write(text, name))
    assert caught.value.exit_code == 2
    assert caught.value.seen.startswith(f"{name}: ")
    assert caught.value.expected
    assert caught.value.fix
    return caught.value


def test_every_key_of_a_gate_is_read() -> None:
    gates, source = load_gates(
        write(
            f"""
            {TOP}
            metric = "mse"
            max = 1
            max_drop = "12.5 %"
            {TOP}
            metric = "ces"
            latent = "*"
            min = 0.2
            max_drop = 0.05
            level = "warn"
            {TOP}
            metric = "specificity"
            group = "income"
            min = 0.1
            level = "error"
            {TOP}
            metric = "completeness"
            group = "body"
            min = 0.3
            max = 0.3
            {TOP}
            metric = "active"
            latent = "z3"
            """
        )
    )
    assert source == "circuitprobe.toml"
    assert gates == (
        Gate("mse", high=1.0, max_drop=Drop(0.125, relative=True)),
        Gate("ces", latent="*", low=0.2, max_drop=Drop(0.05, relative=False), level="warn"),
        Gate("specificity", group="income", low=0.1),
        Gate("completeness", group="body", low=0.3, high=0.3),
        Gate("active", latent="z3"),
    )
    assert [gate.of_latent for gate in gates] == [False, True, True, False, True]


@pytest.mark.parametrize("metric", NAMES)
def test_every_metric_can_be_gated(metric: str) -> None:
    of_latent = metric in {"similarity", "active", "kl", "disentanglement"}
    lines = (
        ['latent = "*"'] * of_latent
        + ['group = "g"'] * (metric == "completeness")
        + ["min = 0.1"] * (metric != "active")
    )
    gates, _ = load_gates(write("\n".join((TOP, f'metric = "{metric}"', *lines))))
    assert [gate.metric for gate in gates] == [metric]


@pytest.mark.parametrize(
    ("given", "amount", "relative", "words"),
    [
        ('"10%"', 0.1, True, "10%"), ('" 2.5 % "', 0.025, True, "2.5%"), ('"0%"', 0.0, True, "0%"), ('"150%"', 1.5, True, "150%"),
        ("0.05", 0.05, False, "0.05"), ("0", 0.0, False, "0"), ("3", 3.0, False, "3"),
    ],
)  # fmt: skip
def test_drops_are_numbers_or_shares(given: str, amount: float, relative: bool, words: str) -> None:
    ((gate,), _) = load_gates(write(f'{TOP}\nmetric = "mse"\nmax_drop = {given}'))
    assert gate.max_drop == Drop(pytest.approx(amount), relative=relative)
    assert gate.max_drop is not None
    assert gate.max_drop.words == words


WRONG = {
    # what stands under [[gate]]: parts of what is told
    'metric = "cess"\nmax_drop = 0.1': ("gate 1: there is no metric 'cess'", "one of ces, ", "did you mean 'ces'"),
    'metric = "Specificity"\nmin = 0.1': (
        "there is no metric 'Specificity'",
        "specificity",
        "did you mean 'specificity'",
    ),
    'metric = "zzz"\nmin = 0.1': ("there is no metric 'zzz'", "completeness", '[[gate]] with metric = "ces"'),
    'metric = ""\nmin = 0.1': ("there is no metric ''", "one of ces", "[[gate]]"),
    "min = 0.1": ("gate 1 names no metric", "one of ces", "[[gate]]"),
    "metric = 5\nmin = 0.1": ("gate 1: metric is 5", "one of ces", "[[gate]]"),
    'metric = ["ces"]\nmin = 0.1': ("metric is ['ces']", "one of ces", "[[gate]]"),
    'metric = "ces"\nminimum = 0.1': ("gate 1 has the key 'minimum'", f"of {', '.join(KEYS)}", "did you mean 'min'"),
    'metric = "ces"\nmaxdrop = 0.1': ("has the key 'maxdrop'", "max_drop", "did you mean 'max_drop'"),
    'metric = "ces"': ("ces has no min, max or max_drop", "at least one of them", 'max_drop = "10%"'),
    'metric = "ces"\nlatent = "z1"\ngroup = "body"\nmin = 0.1': ("latent and group", "one of the two", "[[gate]]"),
    'metric = "completeness"\nmin = 0.1': ("completeness is a figure of one feature group", "a group", 'group = "'),
    'metric = "completeness"\nlatent = "z1"\nmin = 0.1': (
        "completeness is a figure of one feature group",
        "a group",
        "group",
    ),
    'metric = "mse"\nlatent = "z1"\nmax = 0.1': (
        "mse is no figure of one latent",
        "one of ces, specificity",
        "[[gate]]",
    ),
    'metric = "mse"\ngroup = "body"\nmax = 0.1': ("mse is no figure of a group", "completeness", "[[gate]]"),
    'metric = "active_latents"\nlatent = "*"\nmin = 1': (
        "active_latents is no figure of one latent",
        "ces",
        "[[gate]]",
    ),
    'metric = "similarity"\nmin = 0.9': (
        "similarity is a figure of single latents",
        "a latent",
        'latent = "*", or group',
    ),
    'metric = "kl"\nmin = 0.9': ("kl is a figure of single latents", "a latent", 'beside metric = "kl"'),
    'metric = "active"': ("active is a figure of single latents", "a latent", 'latent = "*"'),
    'metric = "active"\nlatent = "*"\nmin = 1': ("active has no limits", "neither min, max nor max_drop", "[[gate]]"),
    'metric = "active"\nlatent = "*"\nmax_drop = 0': ("active has no limits", "neither", "[[gate]]"),
    'metric = "ces"\nmin = 0.5\nmax = 0.2': ("min 0.5 is above max 0.2", "min below max", "[[gate]]"),
    'metric = "ces"\nmin = "0.5"': ("gate 1: min is '0.5'", "a number", "[[gate]]"),
    'metric = "ces"\nmax = true': ("max is True", "a number", "[[gate]]"),
    'metric = "ces"\nmin = nan': ("min is nan", "a number", "[[gate]]"),
    'metric = "ces"\nmax = inf': ("max is inf", "a number", "[[gate]]"),
    'metric = "ces"\nmin = 2020-01-01': ("min is datetime.date(2020, 1, 1)", "a number", "[[gate]]"),
    'metric = "ces"\nmax_drop = -0.1': ("max_drop is -0.1", 'a share such as "10%"', "[[gate]]"),
    'metric = "ces"\nmax_drop = "-10%"': ("max_drop is '-10%'", 'a share such as "10%"', "[[gate]]"),
    'metric = "ces"\nmax_drop = "10"': ("max_drop is '10'", 'a share such as "10%"', "[[gate]]"),
    'metric = "ces"\nmax_drop = "ten %"': ("max_drop is 'ten %'", 'a share such as "10%"', "[[gate]]"),
    f'metric = "ces"\nmax_drop = "{"9" * 400}%"': ("max_drop is '999", 'a share such as "10%"', "[[gate]]"),
    'metric = "ces"\nmax_drop = false': ("max_drop is False", "a number such as 0.05", "[[gate]]"),
    'metric = "ces"\nmax_drop = inf': ("max_drop is inf", "a number such as 0.05", "[[gate]]"),
    'metric = "ces"\nmin = 1\nlevel = "fail"': ("level is 'fail'", '"error" or "warn"', "[[gate]]"),
    'metric = "ces"\nmin = 1\nlevel = 2': ("level is 2", '"error" or "warn"', "[[gate]]"),
    'metric = "ces"\nmin = 1\nlatent = 3': ("latent is 3", "a name in quotes", "[[gate]]"),
    'metric = "ces"\nmin = 1\nlatent = ""': ("latent is ''", "a name in quotes", "[[gate]]"),
    'metric = "ces"\nmin = 1\ngroup = ["a"]': ("group is ['a']", "a name in quotes", "[[gate]]"),
}


@pytest.mark.parametrize("text", WRONG)
def test_a_gate_that_makes_no_sense_is_told_with_what_to_type(text: str) -> None:
    seen, expected, fix = WRONG[text]
    error = refused(f"{TOP}\n{text}")
    assert seen in error.seen
    assert expected in error.expected
    assert fix in error.fix


@pytest.mark.parametrize("key", ["min", "max", "max_drop"])
def test_integers_beyond_64_bits_are_no_toml(key: str) -> None:
    with pytest.raises(DataError, match=rf"gate\.{key} = an integer of 1,329 bits"):
        load_gates(write(f'{TOP}\nmetric = "ces"\n{key} = {"9" * 400}'))


def test_the_number_of_the_wrong_gate_is_told() -> None:
    assert "gate 2: there is no metric" in refused(f'{TOP}\nmetric="mse"\nmax=1\n{TOP}\nmetric="msee"\nmax=1').seen


@pytest.mark.parametrize("text", ["", "gate = []", "# nothing\n"])
def test_a_file_without_a_gate_is_refused(text: str) -> None:
    error = refused(text)
    assert "has no gate" in error.seen
    assert error.expected == "at least one [[gate]] table"
    write(text)
    with pytest.raises(UsageError, match="has no gate"):
        load_gates(None)


def test_an_empty_gate_is_refused() -> None:
    assert "names no metric" in refused(TOP).seen


@pytest.mark.parametrize("text", ["gate = 3", 'gate = "ces"'])
def test_gates_that_are_no_tables_are_refused(text: str) -> None:
    assert "has no gate" in refused(text).seen
    single = refused('[gate]\nmetric = "ces"\nmin = 1')
    assert "has one table called gate" in single.seen
    assert "[[gate]]" in single.expected
    assert "gate 1 is no table" in refused('gate = ["ces"]').seen


def test_an_unknown_key_beside_the_gates_is_refused() -> None:
    error = refused(f'strict = true\n{TOP}\nmetric="mse"\nmax=1')
    assert "has the key 'strict'" in error.seen
    assert error.expected == "[[gate]] tables only"
    error = refused('[[gates]]\nmetric="mse"\nmax=1')
    assert "did you mean 'gate'" in error.fix


def test_gates_of_pyproject_stand_under_tool_circuitprobe() -> None:
    path = write(f'[project]\nname = "x"\n{NESTED}\nmetric = "mse"\nmax = 1', "pyproject.toml")
    assert load_gates(path) == ((Gate("mse", high=1.0),), "pyproject.toml")
    error = refused("[tool.other]\nx = 1", "pyproject.toml")
    assert "has no gate" in error.seen
    assert error.expected == f"at least one {NESTED} table"
    assert error.fix.startswith(NESTED)
    assert "has the key 'strict'" in refused("[tool.circuitprobe]\nstrict = true", "pyproject.toml").seen


def test_another_file_may_have_them_there_too_but_not_in_both_places() -> None:
    nested = f'{NESTED}\nmetric = "mse"\nmax = 1\n'
    assert load_gates(write(nested, "ci.toml"))[0] == (Gate("mse", high=1.0),)
    assert "has the key 'tool'" in refused(f'{nested}{TOP}\nmetric="ces"\nmin=1', "ci.toml").seen


def test_gates_of_pyproject_in_the_wrong_place_are_not_passed_over() -> None:
    wrong = f'{TOP}\nmetric = "mse"\nmax = 1\n[tool.circuitprobe]\n'
    assert "[[gate]] outside [tool.circuitprobe]" in refused(wrong, "pyproject.toml").seen
    with pytest.raises(UsageError, match="outside"):
        load_gates(None)


@pytest.mark.parametrize("section", ["[tool.circuitprobe]\n", "[tool]\ncircuitprobe = 3", "[tool]\ncircuitprobe = []"])
def test_a_section_of_ours_without_a_gate_is_not_the_default_gate(section: str) -> None:
    write(section, "pyproject.toml")
    with pytest.raises(UsageError, match=r"^pyproject\.toml: "):
        load_gates(None)


def test_our_own_file_is_looked_for_first_then_pyproject_then_the_default() -> None:
    assert load_gates(None) == (DEFAULT, "the default gate")
    assert load_gates(None)[0] is DEFAULT
    write("[project]\nname = 'x'\n[tool.ruff]\nx = 1", "pyproject.toml")
    assert load_gates(None)[0] is DEFAULT
    write(f'{NESTED}\nmetric = "mse"\nmax = 1', "pyproject.toml")
    assert load_gates(None) == ((Gate("mse", high=1.0),), "pyproject.toml")
    write(f'{TOP}\nmetric = "mse"\nmax = 2', "circuitprobe.toml")
    assert load_gates(None) == ((Gate("mse", high=2.0),), "circuitprobe.toml")
    other = write(f'{TOP}\nmetric = "mse"\nmax = 3', "ci.toml")
    assert load_gates(other) == ((Gate("mse", high=3.0),), "ci.toml")
    assert load_gates(str(other))[1] == "ci.toml"


def test_files_that_are_not_there_or_no_toml_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no gate file 'none\.toml'"):
        load_gates("none.toml")
    write("[[gate]\nmetric", "broken.toml")
    with pytest.raises(DataError, match="not valid TOML"):
        load_gates("broken.toml")
    with pytest.raises(DataError, match="cannot be read"):
        load_gates(tmp_path)
    Path("circuitprobe.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8"):
        load_gates(None)


@pytest.mark.parametrize(
    ("gate", "seen"),
    [
        (Gate("ces", max_drop=0.1), "max_drop is 0.1"),  # type: ignore[arg-type]
        (Gate("ces", max_drop=Drop(-0.1, relative=True)), "max_drop is Drop"),
        (Gate("ces", max_drop=Drop(float("nan"), relative=True)), "max_drop is Drop"),
        (Gate("ces", low=float("nan")), "min is nan"),
        (Gate("ces", high="1"), "max is '1'"),  # type: ignore[arg-type]
        (Gate("ces", low=1.0, level="fatal"), "level is 'fatal'"),  # type: ignore[arg-type]
        (Gate("cess", low=1.0), "no metric 'cess'"),
    ],
)
def test_gates_made_in_python_are_checked_alike(gate: Gate, seen: str) -> None:
    with pytest.raises(UsageError, match=r"^the gates given: gate 3: ") as caught:
        check_gate(gate, "gate 3", "the gates given")
    assert seen in caught.value.seen


def test_the_default_gate_makes_sense() -> None:
    for gate in DEFAULT:
        check_gate(gate, gate.metric, "the default gate")
    assert {gate.metric for gate in DEFAULT} >= {"mse", "ces", "similarity", "active"}


def test_gates_are_found_above_up_to_the_root_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "repository" / "tests" / "deep"
    inner.mkdir(parents=True)
    gate = '[[gate]]\nmetric = "mse"\nmax = 0.5\n'
    (tmp_path / "circuitprobe.toml").write_text(gate.replace("0.5", "0.1"))
    monkeypatch.chdir(inner)
    assert load_gates(None)[0][0].high == 0.1
    (tmp_path / "repository" / ".git").mkdir()
    assert load_gates(None) == (DEFAULT, "the default gate")
    (tmp_path / "repository" / "pyproject.toml").write_text("[[tool.circuitprobe.gate]]\n" + gate.split("\n", 1)[1])
    assert load_gates(None)[0][0].high == 0.5
    (inner.parent / "circuitprobe.toml").write_text(gate.replace("0.5", "0.3"))
    assert load_gates(None)[0][0].high == 0.3


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('metric = "specificity"\nmax_drop = 10', "specificity can never fall by more than 10"),
        ('metric = "ces"\nmax_drop = "100%"', "ces can never fall by more than 100%"),
        ('metric = "modularity"\nmax_drop = 1', "modularity can never fall by more than 1"),
        ('metric = "similarity"\nlatent = "*"\nmin = -3', "similarity is never below min -3"),
        ('metric = "mse"\nmin = 0', "mse is never below min 0"),
        ('metric = "fgd"\nmax = 1', "fgd is never above max 1"),
        ('metric = "active_latents"\nmin = 0', "active_latents is never below min 0"),
    ],
)
def test_limits_that_no_figure_can_break_are_refused(lines: str, said: str) -> None:
    assert said in refused(f"{TOP}\n{lines}").seen


@pytest.mark.parametrize(
    "lines",
    [
        'metric = "mse"\nmax_drop = "300%"',
        'metric = "ces"\nmax_drop = 5',
        'metric = "fgd_adjusted"\nmax_drop = "150%"',
        'metric = "fgd_adjusted"\nmin = -0.1',
        'metric = "calibration_ratio"\nmax_drop = 2',
        'metric = "kl"\nlatent = "z0"\nmax = 30',
    ],
)
def test_limits_that_some_figure_can_break_are_not(lines: str) -> None:
    assert len(load_gates(write(f"{TOP}\n{lines}"))[0]) == 1


def test_a_file_of_gates_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "circuitprobe.toml").symlink_to(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"circuitprobe\.toml"):
        load_gates(None)
    (tmp_path / "circuitprobe.toml").unlink()
    (tmp_path / "circuitprobe.toml").mkdir()
    with pytest.raises(DataError, match=r"circuitprobe\.toml"):
        load_gates(None)
