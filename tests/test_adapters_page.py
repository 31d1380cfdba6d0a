"""docs/adapters.md: its example is a package that is installed here and does what the page says."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import circuitprobe as cp

PAGE = (Path(__file__).parent.parent / "docs" / "adapters.md").read_text(encoding="utf-8")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The page's files, and its entry point as pip would install it; gives the library."""
    for name, text in re.findall(r"```python\n# (\w+\.py).*?\n(.*?)```", PAGE, flags=re.DOTALL):
        (tmp_path / name).write_text(text)
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    ((group, entries),) = tomllib.loads(toml)["project"]["entry-points"].items()
    folder = tmp_path / "tinyvae-2.5.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: tinyvae\nVersion: 2.5\n")
    (folder / "entry_points.txt").write_text(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in entries.items()))
    monkeypatch.syspath_prepend(str(tmp_path))
    return importlib.import_module("tinyvae")


def trained(library: Any) -> tuple[Any, Tensor]:
    """A synthesizer that keeps what it is given: two causes behind four columns."""
    causes = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    rows = causes @ torch.tensor([[1.0, 0.5, 0.0, -1.0], [0.0, 1.0, 1.0, 0.5]])
    made = library.Synthesizer(4, 2)
    with torch.no_grad():
        inverse = torch.linalg.pinv(torch.tensor([[1.0, 0.5, 0.0, -1.0], [0.0, 1.0, 1.0, 0.5]]))
        made.nets["infer"].weight.copy_(torch.cat([inverse.T, torch.zeros(2, 4)]))
        made.nets["infer"].bias.copy_(torch.tensor([0.0, 0.0, -1.0, 0.5]))
        made.nets["generate"].weight.copy_(torch.linalg.pinv(inverse).T)
        made.nets["generate"].bias.zero_()
    return made, rows


def test_the_adapter_is_found_and_audited(package: Any) -> None:
    synthesizer, rows = trained(package)
    report = cp.audit(synthesizer, rows, levels=(2,), resamples=20, permutations=20)
    assert report.model.evidence[0] == "adapter tinyvae: tinyvae.Synthesizer of tinyvae 2.5"
    assert report.reconstruction.mse.value == pytest.approx(0.0, abs=1e-9)
    assert report.twin.scores is not None


def test_the_pages_test_passes_and_fails_where_it_should(package: Any) -> None:
    synthesizer, rows = trained(package)
    test = importlib.import_module("test_tinyvae").test_adapter
    test(synthesizer, rows)
    synthesizer.draw = lambda x: synthesizer.infer(x)[0] + 2 * torch.randn(len(x), 2)
    with pytest.raises(AssertionError, match="posterior is what the library draws from"):
        test(synthesizer, rows)


def test_every_adapter_is_on_the_page() -> None:
    from circuitprobe.adapters.families.registry import built_in

    for adapter in built_in():
        assert adapter.distribution in PAGE
        for name in adapter.classes:
            assert name.rsplit(".", 1)[1] in PAGE or name.endswith("BaseAE")
