"""study.toml: what is written is read back, and what a hand has spoilt is told with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitprobe.errors import CircuitProbeError, DataError, UsageError
from circuitprobe.study.asked import Asked, settled_plan
from circuitprobe.study.defaults import default_plan
from circuitprobe.study.jobs import job_from_json
from circuitprobe.study.plan import Grid, Plan, first_difference, read_plan, write_plan
from circuitprobe.study.session import _settled

SMALL = Asked(["vae,beta-vae"], ["german_credit"], ["0", "1"])


def plan(asked: Asked = SMALL) -> Plan:
    made = settled_plan(asked, None, Path("nowhere"))
    assert made is not None
    return made


def edited(folder: Path, old: str, new: str, of: Plan | None = None) -> Path:
    """The small study's file, with one place changed by hand."""
    path = folder / "study.toml"
    write_plan(of or plan(), path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def test_the_whole_study_has_75_runs_seed_by_seed() -> None:
    jobs = default_plan(Grid()).jobs()
    assert len(jobs) == len({job.name for job in jobs}) == len({job.digest for job in jobs}) == 75
    assert [job.seed for job in jobs] == [0] * 25 + [1] * 25 + [2] * 25
    assert {job.audit.rows for job in jobs if job.benchmark == "dsprites"} == {512}
    assert {job.audit.rows for job in jobs if job.benchmark != "dsprites"} == {2048}
    assert {job.training.strength for job in jobs if job.arch == "vae"} == {None}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    made = Asked(["vae", "factor-vae , dip-vae-ii"], ["dsprites,adult"], ["7"], 300, 1000, 12, "2,1")
    for number, one in enumerate((default_plan(Grid()), plan(made))):
        path = tmp_path / f"{number}.toml"
        write_plan(one, path)
        assert read_plan(path) == one
        assert first_difference(read_plan(path), one) is None
        assert [job.digest for job in read_plan(path).jobs()] == [job.digest for job in one.jobs()]


def test_every_option_arrives() -> None:
    made = plan(Asked(["vae", "factor-vae , dip-vae-ii"], ["dsprites,adult"], ["7"], 300, 1000, 12, "2,1"))
    jobs = made.jobs()
    assert {(job.arch, job.benchmark) for job in jobs} == {
        (arch, name) for arch in ("vae", "factor-vae", "dip-vae-ii") for name in ("dsprites", "adult")
    }
    assert {(job.seed, job.training.steps, job.training.rows) for job in jobs} == {(7, 12, 1000)}
    assert {(job.audit.rows, job.audit.levels) for job in jobs} == {(300, (1, 2))}


def test_jobs_cross_to_other_processes_unchanged() -> None:
    for job in default_plan(Grid()).jobs():
        assert job_from_json(job.model_dump_json()) == job


def test_digests_change_with_the_job_and_nothing_else() -> None:
    before = {job.name: job.digest for job in plan().jobs()}
    wider = plan(Asked(["beta-vae,vae"], ["adult,german_credit,dsprites"], ["2,1,0"])).jobs()
    after = {job.name: job.digest for job in wider}
    assert {name: after[name] for name in before} == before
    for other in (Asked(steps=3), Asked(rows=77), Asked(train_rows=99), Asked(levels="1,2")):
        asked = Asked(
            SMALL.archs, SMALL.benchmarks, SMALL.seeds, other.rows, other.train_rows, other.steps, other.levels
        )
        assert not set(before.values()) & {job.digest for job in plan(asked).jobs()}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Asked(archs=["bta-vae"]), "--archs: there is no architecture 'bta-vae'.*did you mean 'beta-vae'"),
        (Asked(benchmarks=["adlt"]), "--benchmarks: there is no benchmark 'adlt'.*did you mean 'adult'"),
        (Asked(archs=["vae,vae"]), "--archs: names something twice"),
        (Asked(benchmarks=["adult", "adult"]), "--benchmarks: names something twice"),
        (Asked(seeds=["0,00"]), "--seeds: names something twice: 0, 0"),
        (Asked(archs=[""]), "--archs: names nothing"),
        (Asked(benchmarks=[" , "]), "--benchmarks: names nothing"),
        (Asked(seeds=[]), "--seeds: names nothing"),
        (Asked(seeds=["one"]), "--seeds one"),
        (Asked(seeds=["-1"]), "--seeds -1"),
        (Asked(seeds=["٣"]), "--seeds ٣"),
        (Asked(seeds=["4294967296"]), "--seeds: .*less than 4294967296"),
        (Asked(seeds=["9" * 5000]), "--seeds 9999"),
        (Asked(levels="1,3"), "--levels 1,3"),
        (Asked(levels="two"), "--levels two"),
    ],
)
def test_options_that_make_no_sense(asked: Asked, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        settled_plan(asked, None, Path("nowhere"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seeds = [\n    0,", "seeds = [\n    'zero',", "grid.seeds.0: .*integer"),
        ("seeds = [\n    0,", "seeds = [\n    true,", "grid.seeds.0: .*integer"),
        ("seeds = [\n    0,\n    1,\n]", "seeds = []", "grid.seeds: names nothing"),
        ("batch = 256", 'batch = "256"', "table.batch: .*integer"),
        ("batch = 256", "batch = 0", "table.batch: "),
        ("batch = 256", "batch = 2026-11-23", "table.batch: .*integer"),
        ("lr = 0.001", "lr = nan", "table.lr: .*finite"),
        ("lr = 0.001", "", "table.lr: Field required"),
        ("lr = 0.001", "lr = 0.001\nrate = 2", "table.rate: Extra inputs"),
        ("[audit]", "[audits]", "audit"),
        ("format = 1", "format = 2", "format: Input should be 1"),
        ('"vae",', '"vea",', "grid.architectures: there is no architecture 'vea'.*did you mean 'vae'"),
        ("beta-vae = 2.0", "bta-vae = 2.0", "there is no strength of 'bta-vae'.*did you mean 'beta-vae'"),
        ("[table.steps]", "[table.steps]\nadlt = 3", "there is no benchmark 'adlt'.*did you mean 'adult'"),
        ("beta-vae = 2.0", "", "beta-vae in its grid and no hyperparameter"),
        ("german_credit = 2001", "", "german_credit in its grid and does not say how it is trained"),
        ('    "german_credit",', '    "german_credit",\n    "dsprites",', "dsprites in its grid and does not say"),
        ("hidden = [\n    128,\n    128,\n]", "", "hidden = "),
        ("levels = [\n    2,\n]", "levels = [1]", "audit.levels: level 2 is not among them"),
        ("levels = [\n    2,\n]", "levels = [2, 2]", "audit.levels: each once"),
        ("levels = [\n    2,\n]", "levels = [2, 5]", "audit.levels.1"),
    ],
)
def test_a_file_that_a_hand_has_spoilt(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        read_plan(edited(tmp_path, old, new))
    assert "study.toml" in str(caught.value)
    assert caught.value.exit_code == 2


def test_no_toml_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not valid TOML.*line"):
        read_plan(edited(tmp_path, "[grid]", "[grid"))
    with pytest.raises(DataError, match="There is no study file"):
        read_plan(tmp_path / "nowhere.toml")


def test_images_have_no_layers_to_choose(tmp_path: Path) -> None:
    images = plan(Asked(["vae"], ["dsprites"], ["0"]))
    with pytest.raises(UsageError, match=r"\[image\] has hidden = \[8\]"):
        read_plan(edited(tmp_path, "hidden = []", "hidden = [8]", images))


def test_a_study_file_stands_alone(tmp_path: Path) -> None:
    path = edited(tmp_path, "batch = 256", "batch = 128")
    found = settled_plan(Asked(), path, tmp_path / "out")
    assert found is not None
    assert {job.training.batch for job in found.jobs()} == {128}
    with pytest.raises(UsageError, match="--study together with"):
        settled_plan(Asked(rows=100), path, tmp_path / "out")


def test_nothing_asked_goes_on_with_what_the_folder_says(tmp_path: Path) -> None:
    path = edited(tmp_path, "seeds = [\n    0,\n    1,\n]", "seeds = [0, 1, 5]")
    assert settled_plan(Asked(), None, tmp_path) is None
    jobs = _settled(path, None).jobs()
    assert [job.seed for job in jobs] == [0, 0, 1, 1, 5, 5]
    assert {job.name: job.digest for job in jobs}.items() >= {job.name: job.digest for job in plan().jobs()}.items()


def test_other_options_than_the_folders_are_refused_with_both(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    write_plan(plan(), path)
    for asked, words in (
        (Asked(SMALL.archs, SMALL.benchmarks, ["0"]), "grid.seeds is 0, 1 there and 0 here"),
        (
            Asked(SMALL.archs, SMALL.benchmarks, SMALL.seeds, steps=5),
            "table.steps.german_credit is 2001 there and 5 here",
        ),
        (Asked(SMALL.archs, SMALL.benchmarks, SMALL.seeds, train_rows=99), "table.rows is absent there and 99 here"),
        (Asked(["vae"], ["dsprites"], ["0"]), "grid.architectures is beta-vae, vae there and vae here"),
    ):
        with pytest.raises(UsageError, match=words) as caught:
            _settled(path, plan(asked))
        assert "to go on" in caught.value.fix


def test_the_same_options_in_another_order_are_the_same_study(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    write_plan(plan(), path)
    assert _settled(path, plan(Asked(["beta-vae", "vae"], SMALL.benchmarks, ["1,0"]))) == plan()


def test_other_versions_are_no_other_study() -> None:
    held = plan().model_copy(update={"versions": {"torch": "1.0"}})
    assert first_difference(plan(), held) is None


def test_a_folder_without_a_study_is_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(CircuitProbeError, match="there is no"):
        _settled(tmp_path / "study.toml", None)
