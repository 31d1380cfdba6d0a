"""What the README shows is run, and what it promises is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.adapters.data import TableSchema, load_groups
from circuitprobe.adapters.models import ModelSpec
from circuitprobe.reference_models import ARCHITECTURES
from circuitprobe.report import AuditReport
from circuitprobe.report.model import SCHEMA_VERSION

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


class Model(nn.Module):
    """Four latents, found by name and by the README's callables."""

    def __init__(self) -> None:
        super().__init__()
        self.enc_net, self.dec = nn.Linear(5, 8), nn.Linear(4, 5)

    def enc(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.enc_net(x).chunk(2, dim=1)
        return mean, log_var - 3

    encode = enc

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z)


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 5)), columns=list("abcde"))
    frame["income"] = np.where(frame["a"] > 0, "high", "low")
    frame.to_csv("data.csv", index=False)
    names: dict[str, object] = {"model": Model(), "x": torch.randn(40, 5)}
    (example,) = blocks("python")
    exec(compile(example, "README.md", "exec"), names)  # noqa: S102 - that is the test
    assert (tmp_path / "audit.json").exists()
    assert names["effects"].effects.shape == (4, 5)  # type: ignore[attr-defined]


def test_the_spec_and_schema_files_are_valid(tmp_path: Path) -> None:
    spec, schema = blocks("toml")
    (tmp_path / "vae.toml").write_text(spec)
    assert ModelSpec.load(tmp_path / "vae.toml").posterior == ("mean", "std")
    (tmp_path / "schema.toml").write_text(schema)
    assert TableSchema.load(tmp_path / "schema.toml").ignored == ("zip",)


def test_the_table_of_what_runs_when_is_the_same_in_both_places() -> None:
    tables = [
        [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if line.startswith("| ")][:11]
        for name in ("SECURITY.md", "docs/model-files.md")
    ]
    assert tables[0] == tables[1]
    assert tables[0][0] == "| file | how it is read | without `--trust` | with `--trust` |"


def test_links_and_make_targets_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"^make (\w+)", README, flags=re.MULTILINE)):
        assert f"\n{target}:" in makefile


def test_the_examples_groups_cover_the_examples_features() -> None:
    features = list(pd.read_csv(ROOT / "examples" / "adult_sample.csv", nrows=1).columns.drop(["fnlwgt", "income"]))
    assert len(load_groups(ROOT / "examples" / "adult_groups.toml", features)) == 5


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_examples_audits_are_of_the_examples_models(arch: str) -> None:
    stem = f"adult_{arch.replace('-', '_')}"
    vae = cp.load(ROOT / "examples" / f"{stem}.pt")
    shipped = AuditReport.from_json(ROOT / "examples" / "audits" / f"{stem}.json")
    assert shipped.schema_version == SCHEMA_VERSION
    assert shipped.model.source == f"{stem}.pt"
    assert shipped.reconstruction is not None
    assert shipped.reconstruction.reconstructs
    again = cp.audit(
        vae, ROOT / "examples" / "adult_sample.csv", target="income", groups=ROOT / "examples" / "adult_groups.toml",
        levels=(2,), twin=False,
    )  # fmt: skip
    assert again.model.weights_sha256 == shipped.model.weights_sha256
    assert again.data.rows_sha256 == shipped.data.rows_sha256
    for name, ces in again.ces.items():
        assert ces.value == pytest.approx(shipped.ces[name].value, rel=1e-4)
        assert ces.low == pytest.approx(shipped.ces[name].low, rel=1e-4)


def test_the_example_is_small_and_the_versions_agree() -> None:
    size = sum(path.stat().st_size for path in (ROOT / "examples").rglob("*.*"))
    assert size < 5_000_000
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pinned = (ROOT / "constraints.txt").read_text()
    for requirement in declared:
        name = re.split(r"[<>=]", requirement)[0]
        assert re.search(rf"^{name}==", pinned, flags=re.MULTILINE), name
    assert "torch==2.13.0" in pinned.splitlines()
