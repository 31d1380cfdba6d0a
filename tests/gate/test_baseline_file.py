"""What a gate sees of an audit, and baseline files: what they hold, how they read, what is wrong with a damaged one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from circuitprobe.errors import UsageError
from circuitprobe.gate.baseline_file import baseline_text, read_snapshot, rounded, write_baseline
from circuitprobe.gate.check import check
from circuitprobe.gate.config import DEFAULT, Drop, Gate
from circuitprobe.gate.snapshot import snapshot_of
from circuitprobe.report import AuditReport
from circuitprobe.report.resamples import pack
from circuitprobe.types import Estimate
from gate.hand_snapshots import Audit, Z, snapshot


def around(value: float, half: float) -> Estimate:
    return Estimate(value, value - half, value + half, 9)


@pytest.mark.parametrize(
    ("figure", "value", "low", "high"),
    [
        (Estimate(0.41234, 0.4031, 0.4215, 9), 0.4123, 0.4031, 0.4215),
        (around(0.41234, 0.02), 0.412, 0.392, 0.432),
        (around(0.41234, 0.0999), 0.412, 0.312, 0.512),
        (around(0.41234, 0.1), 0.41, 0.31, 0.51),
        (around(0.41234, 1.0), 0.4, -0.6, 1.4),
        (around(123.456, 12.0), 123.0, 111.0, 135.0),
        (around(123456.0, 1234.0), 123500.0, 122200.0, 124700.0),
        (around(1.23456e12, 3.3e9), 1.2346e12, 1.2313e12, 1.2379e12),
        (around(1.23456e-9, 1.1e-11), 1.235e-9, 1.224e-9, 1.246e-9),
        (Estimate(-0.0004, -0.02, 0.02, 9), 0.0, -0.02, 0.02),
        (Estimate(-0.41234, -0.4215, -0.4031, 9), -0.4123, -0.4215, -0.4031),
        (Estimate(0.123456, None, None, 9), 0.1235, None, None),
        (Estimate(0.123456, 0.123456, 0.123456, 9), 0.1235, 0.1235, 0.1235),
        (Estimate(123456.0, None, None, 9), 123500.0, None, None),
        (Estimate(-0.0, None, None, 9), 0.0, None, None),
        (Estimate(-0.0, -0.0, 0.0, 9), 0.0, 0.0, 0.0),
        (Estimate(None, None, None, 9), None, None, None),
    ],
)  # fmt: skip
def test_figures_are_rounded_to_the_second_digit_of_half_their_interval(
    figure: Estimate, value: float | None, low: float | None, high: float | None
) -> None:
    found = rounded(figure)
    assert found == {"value": value, "low": low, "high": high, "n": 9}
    assert "-0.0" not in json.dumps(found).replace("-0.0004", "").replace("-0.02", "")


def test_rounding_moves_no_figure_by_more_than_a_twentieth_of_half_its_interval() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        figure = around(float(rng.normal()) * 10 ** float(rng.uniform(-6, 6)), 10 ** float(rng.uniform(-6, 6)))
        half = (figure.high - figure.low) / 2  # type: ignore[operator]
        for end, number in rounded(figure).items():
            assert end == "n" or abs(number - getattr(figure, end)) <= 0.0501 * half  # type: ignore[operator]


def lines_of(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


def test_a_baseline_reads_one_figure_per_line_under_sorted_keys() -> None:
    text = baseline_text(snapshot())
    content = json.loads(text)

    def check_sorted(part: object) -> None:
        if isinstance(part, dict):
            assert list(part) == sorted(part)
            for value in part.values():
                check_sorted(value)

    check_sorted(content)
    assert list(content["compared"]["latents"]) == ["z0", "z1", "z2"]
    assert '"mse": {"high": 0.102, "low": 0.098, "n": 400, "value": 0.1},' in lines_of(text)
    assert '"height": {"high": 0.816, "low": 0.784, "n": 400, "value": 0.8},' in lines_of(text)
    assert sum('"value"' in line for line in lines_of(text)) == 6 + 3 * (5 + 4 + 2)
    assert all(line.count('"value"') <= 1 for line in lines_of(text))
    assert max(map(len, lines_of(text))) < 132
    # what is not compared comes last, so that changes are read before it
    assert (
        text.index('"source"')
        > text.index('"details_sha256"')
        > text.index('"compared"')
        > text.index('"baseline_version"')
    )
    assert text.endswith("}\n")


def test_a_changed_figure_changes_its_line_only() -> None:
    before = lines_of(baseline_text(snapshot()))
    after = lines_of(baseline_text(snapshot(Audit().with_model(modularity=0.4))))
    differing = [a for a, b in zip(before, after, strict=True) if a != b]
    assert [line.split(":")[0] for line in differing] == ['"modularity"', '"details_sha256"']


def test_noise_far_below_the_interval_changes_no_line_of_the_compared_part() -> None:
    def compared(audit: Audit) -> str:
        return baseline_text(snapshot(audit)).split('"details_sha256"')[0]

    nearly = {name: None if value is None else value * (1 + 1e-9) for name, value in Audit().model.items()}
    assert compared(Audit().with_model(**nearly)) == compared(Audit())


def test_names_of_columns_are_written_as_they_are() -> None:
    odd = ("Größe", 'quo"te', "new\nline", "日本")
    groups = {"größe": odd[:2], "resamples": odd[2:]}
    text = baseline_text(snapshot(Audit(features=odd, groups=groups, spreads={}, model={"mse": 0.1})))
    assert "Größe" in text
    assert "日本" in text
    assert set(json.loads(text)["compared"]["features"]) == set(odd)


@pytest.fixture(scope="module")
def audited() -> AuditReport:
    """An audit of a small model, in the model's own words."""
    import torch

    from circuitprobe import audit, wrap

    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.encoder = torch.nn.Linear(5, 6)
            self.decoder = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 5))

        def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            mean, log_var = self.encoder(x).chunk(2, dim=1)
            return mean, log_var - 1.0

        def decode(self, z: torch.Tensor) -> torch.Tensor:
            return self.decoder(z)

    x = np.random.default_rng(0).normal(size=(120, 5)).astype(np.float32)
    groups = {"left": ["x0", "x1"], "right": ["x2", "x3", "x4"]}
    return audit(wrap(Small().eval()), x, groups=groups, levels=(2,), twin=False, resamples=200, permutations=20)


def test_a_snapshot_holds_what_the_report_says(audited: AuditReport) -> None:
    seen = snapshot_of(audited)
    compared = seen.compared
    assert audited.scores is not None
    assert audited.reconstruction is not None
    assert compared.figures["mse"] == audited.reconstruction.mse
    assert compared.figures["modularity"] == audited.scores.modularity
    assert {name for name in compared.figures if ":" in name} == {f"completeness:{g}" for g in audited.data.groups}
    assert "auc" not in compared.figures
    for latent in audited.latents:
        own = compared.latents[latent.name]
        assert (own.active, own.effects, own.group_effects) == (latent.active, latent.effects, latent.group_effects)
        assert own.figures["kl"] == latent.kl
        assert set(own.effects) == set(compared.features)
        assert set(own.group_effects) == set(compared.groups)
        kept = seen.kept(f"ces:{latent.name}")
        assert np.quantile(kept, [0.025, 0.975]) == pytest.approx([latent.ces.low, latent.ces.high], abs=1e-4)
    assert compared.rows.audited == 120
    assert compared.rows.sha256 == audited.data.rows_sha256
    assert {feature.spread for feature in compared.features.values()} == {f.std for f in audited.data.features}


def test_the_spread_of_a_feature_is_in_raw_units(audited: AuditReport) -> None:
    x = audited.data.features
    told = (x[0].model_copy(update={"scale": 20.0, "std": 0.5}), x[1].model_copy(update={"std": None}), *x[2:])
    scaled = audited.model_copy(update={"data": audited.data.model_copy(update={"features": told})})
    spreads = [feature.spread for feature in snapshot_of(scaled).compared.features.values()]
    assert spreads[:2] == [10.0, None]
    assert spreads[2] == x[2].std


def test_nothing_compared_depends_on_the_machine_or_the_time(audited: AuditReport, tmp_path: Path) -> None:
    model = audited.model.model_copy(update={"source": "/home/someone/model.pt"})
    data = audited.data.model_copy(update={"source": "/home/someone/people.csv"})
    elsewhere = audited.model_copy(update={"model": model, "data": data, "circuitprobe_version": "9.9.9"})
    parts = [json.loads(baseline_text(snapshot_of(report)))["compared"] for report in (audited, elsewhere)]
    assert parts[0] == parts[1]
    text = json.dumps(parts[0])
    assert "/" not in text.replace("completeness:", "")
    assert "version" not in text.replace("method_version", "")
    write_baseline(snapshot_of(audited), tmp_path / "a.json")
    write_baseline(snapshot_of(audited), tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_baseline_read_back_and_written_again_is_the_same_file(audited: AuditReport, tmp_path: Path) -> None:
    for number, seen in enumerate(
        (snapshot_of(audited), snapshot(Audit().whole()), snapshot(Audit().whole(), kept=False))
    ):
        path = tmp_path / f"{number}.json"
        write_baseline(seen, path)
        assert baseline_text(read_snapshot(path)) == path.read_text(encoding="utf-8")
        assert baseline_text(seen) == path.read_text(encoding="utf-8")


def test_an_audits_json_and_the_audit_give_the_same_baseline(audited: AuditReport, tmp_path: Path) -> None:
    audited.to_json(tmp_path / "audit.json")
    assert baseline_text(read_snapshot(tmp_path / "audit.json")) == baseline_text(snapshot_of(audited))


def worse_than(report: AuditReport, seed: int) -> AuditReport:
    """An audit whose latents' figures went up or down by up to a third, resamples too."""
    rng = np.random.default_rng(seed)
    assert report.resamples is not None
    scale = {name: float(rng.uniform(0.67, 1.2)) for name in report.resamples.figures}
    kept = {
        name: (scale[name] * (entry.value or 0.0), scale[name] * report.resamples.values(name))  # type: ignore[operator]
        for name, entry in report.resamples.figures.items()
    }

    def scaled(figure: Estimate, by: float) -> Estimate:
        if figure.value is None or figure.low is None or figure.high is None:
            return figure
        return replace(figure, value=by * figure.value, low=by * figure.low, high=by * figure.high)

    latents = tuple(
        latent.model_copy(
            update={
                **{m: scaled(getattr(latent, m), scale[f"{m}:{latent.name}"]) for m in ("ces", "kl", "specificity")},
                "effects": {name: scaled(e, float(rng.uniform(0.4, 1.3))) for name, e in latent.effects.items()},
            }
        )
        for latent in report.latents
    )
    return report.model_copy(update={"latents": latents, "resamples": pack(kept)})


@pytest.mark.parametrize("seed", range(4))
def test_a_baseline_and_the_audit_it_came_from_give_the_same_outcomes(
    audited: AuditReport, tmp_path: Path, seed: int
) -> None:
    audited.to_json(tmp_path / "audit.json")
    write_baseline(read_snapshot(tmp_path / "audit.json"), tmp_path / "baseline.json")
    gates = (
        *DEFAULT,
        Gate("kl", latent="*", max_drop=Drop(0.05, relative=True)),
        Gate("specificity", latent="*", max_drop=Drop(0.0, relative=False)),
    )
    new = worse_than(audited, seed)
    by_audit, by_file, in_memory = (
        check(new, baseline, gates) for baseline in (tmp_path / "audit.json", tmp_path / "baseline.json", audited)
    )
    for other in (by_file, in_memory):
        assert [(r.metric, r.latent, r.outcome) for r in other.results] == [
            (r.metric, r.latent, r.outcome) for r in by_audit.results
        ]
        exact = [(a.p, b.p) for a, b in zip(other.results, by_audit.results, strict=True) if a.metric != "similarity"]
        assert [a for a, _ in exact] == pytest.approx([b for _, b in exact], rel=1e-6)
    assert len({r.outcome for r in by_audit.results}) > 1


def test_an_audit_in_memory_has_not_fallen_at_all_below_its_own_file(audited: AuditReport, tmp_path: Path) -> None:
    audited.to_json(tmp_path / "audit.json")
    write_baseline(snapshot_of(audited), tmp_path / "baseline.json")
    gates = [Gate(metric, max_drop=Drop(0.0, relative=False)) for metric in ("mse", "ces", "specificity", "modularity")]
    gates += [Gate("ces", latent="*", max_drop=Drop(0.0, relative=True))]
    for baseline in ("audit.json", "baseline.json"):
        assert {entry.outcome for entry in check(audited, tmp_path / baseline, gates).results} == {"pass"}


def unreadable(path: Path) -> UsageError:
    with pytest.raises(UsageError) as caught:
        read_snapshot(path)
    assert path.name in caught.value.seen
    assert caught.value.expected
    assert "circuitprobe audit" in caught.value.fix or "audit again" in caught.value.fix
    return caught.value


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is no JSON"),
        (b'{"baseline_version": "1.0",', "is no JSON"),
        (b"<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> other\n", "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
        (b"[" * 200_000, "is no JSON"),
        (b"[]", "is not a report"),
        (b"{}", "is not a report"),
        (b'{"baseline_version": "2.0"}', "is a baseline of version 2.0, this one reads 1.0"),
        (b'{"baseline_version": "0.9"}', "is a baseline of version 0.9, this one reads 1.0"),
        (b'{"baseline_version": null}', "is a baseline of version None"),
        (b'{"baseline_version": "1.0"}', "baseline.details is not beside baseline.json"),
    ],
)
def test_files_that_are_no_baseline_are_told(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_bytes(content)
    assert told in unreadable(path).seen


def test_a_file_that_is_not_there_or_a_folder_is_told(tmp_path: Path) -> None:
    assert "cannot read" in unreadable(tmp_path / "none.json").seen
    assert "cannot read" in unreadable(tmp_path).seen


def broken(change: Any, tmp_path: Path) -> UsageError:
    path = tmp_path / "baseline.json"
    write_baseline(snapshot(Audit().whole()), path)
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return unreadable(path)


def test_a_baseline_merged_badly_by_hand_is_told_before_anything_is_compared(tmp_path: Path) -> None:
    def z0(content: Any) -> Any:
        return content["compared"]["latents"]["z0"]

    for change, told in (
        (lambda c: z0(c)["effects"].pop("income"), "effects of z0 has no income"),
        (lambda c: z0(c)["figures"].pop("kl"), "figures of z0 has no kl"),
        (lambda c: z0(c)["group_effects"].pop("money"), "group_effects of z0 has no money"),
        (lambda c: z0(c)["effects"].update(age=z0(c)["effects"]["income"]), "effects of z0 has an unknown age"),
        (lambda c: c["compared"]["features"].pop("city"), "the group money has the unknown feature city"),
        (lambda c: z0(c)["figures"]["kl"].update(value="high"), "is no baseline"),
        (lambda c: z0(c)["figures"]["kl"].update(value=float("nan")), "is no baseline"),
        (lambda c: c["compared"].pop("latents"), "is no baseline"),
        (lambda c: c["compared"]["figures"].pop("mse"), "the figure mse is missing"),
        (lambda c: c["compared"]["figures"].pop("fgd_adjusted"), "the figure fgd_adjusted is missing"),
        (lambda c: c["compared"]["figures"].pop("completeness:money"), "the figure completeness:money is missing"),
        (lambda c: c["compared"]["figures"]["mse"].update(value=0.01), "mse is 0.01, and 0.1 in its details"),
        (lambda c: z0(c)["figures"]["ces"].update(value=0.1), "ces of z0 is 0.1, and 0.5"),
        (lambda c: z0(c).update(active=False), "z0 is not active with a KL of 1"),
        (lambda c: c.update(more=1), "is no baseline"),
    ):
        assert told in broken(change, tmp_path).seen


def test_an_empty_baseline_of_a_model_without_latents_reads_back(tmp_path: Path) -> None:
    seen = snapshot(Audit(latents={}, model={"mse": 0.1}), level_2=False)
    write_baseline(seen, tmp_path / "b.json")
    assert read_snapshot(tmp_path / "b.json").compared.latents == {}
    undefined = snapshot(Audit(latents={"z0": Z((None,) * 4, kl=None, specificity=None)}).whole())
    write_baseline(undefined, tmp_path / "u.json")
    assert read_snapshot(tmp_path / "u.json").compared.latents["z0"].figures["kl"].value is None


def test_latents_stand_in_their_order_however_keys_are_sorted(tmp_path: Path) -> None:
    latents = {f"z{i}": Z((0.1, 0.2, 0.3, 0.4)) for i in range(12)}
    write_baseline(snapshot(Audit(latents=latents).whole()), tmp_path / "b.json")
    content = json.loads((tmp_path / "b.json").read_text())
    assert list(content["compared"]["latents"])[:4] == ["z0", "z1", "z10", "z11"]
    assert list(read_snapshot(tmp_path / "b.json").compared.latents) == [f"z{i}" for i in range(12)]
