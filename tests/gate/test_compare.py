"""Audits side by side: which figures, in which order, and what is there where an audit lacks one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from report.builders import Shape, make_report

from circuitprobe.gate.compare import ComparedRow, compare
from circuitprobe.gate.metrics import LATENT
from circuitprobe.types import Estimate
from gate.hand_snapshots import Audit, Z, changed, snapshot

BASE = Audit()


def row(rows: tuple[ComparedRow, ...], metric: str, latent: str | None = None) -> ComparedRow:
    (found,) = [entry for entry in rows if (entry.metric, entry.latent) == (metric, latent)]
    return found


def test_what_changed_most_beyond_chance_comes_first() -> None:
    new = replace(BASE, rows="b").with_model(mse=0.101, specificity=0.9, modularity=0.45)
    rows = compare((snapshot(), snapshot(new)))
    assert [entry.metric for entry in rows[:2]] == ["specificity", "modularity"]
    changes = [entry.change for entry in rows]
    assert changes == sorted(changes, reverse=True)
    # 0.05 over half an interval of 1.96 standard errors of the difference
    expected = 0.05 / (1.96 * 0.01 * np.hypot(0.5, 0.45))
    assert rows[1].change == pytest.approx(expected, rel=0.1)
    assert row(rows, "fgd_adjusted").change == 0.0


def test_pairing_tells_smaller_changes() -> None:
    def change(rows_of_new: str) -> float:
        new = replace(BASE, rows=rows_of_new).with_model(modularity=0.49)
        return row(compare((snapshot(), snapshot(new))), "modularity").change

    assert change("b") < 1.0
    assert change("a") > 20 * change("b")


def test_the_same_audit_has_not_changed_and_stays_in_order() -> None:
    rows = compare((snapshot(), snapshot()))
    assert {entry.change for entry in rows} == {0.0}
    own = [entry.metric for entry in rows if entry.latent is None]
    assert own == list(snapshot().compared.figures)
    assert [(e.latent, e.metric) for e in rows if e.latent is not None] == [
        (z, m) for z in ("z0", "z1") for m in LATENT
    ]


def test_latents_are_matched_in_every_audit_on_its_own() -> None:
    z0, z1, z2 = BASE.latents.values()
    second = replace(BASE, rows="b", latents={"a": z1, "b": z0, "c": z2})
    third = replace(BASE, rows="c", latents={"p": z2, "q": replace(z0, kl=2.0)})
    rows = compare((snapshot(), snapshot(second), snapshot(third)))
    kl = row(rows, "kl", "z0")
    assert kl.names == ("z0", "b", "q")
    assert [None if figure is None else figure.value for figure in kl.figures] == [1.0, 1.0, 2.0]
    assert rows[0] == kl
    gone = row(rows, "kl", "z1")
    assert gone.names == ("z1", "a", None)
    assert gone.figures[2] is None
    assert gone.change == 0.0


def test_the_largest_change_of_several_audits_counts_against_the_first() -> None:
    audits = [snapshot(replace(BASE, rows="b").with_model(modularity=value)) for value in (0.5, 0.9, 0.6)]
    alone = [row(compare((snapshot(), other)), "modularity").change for other in audits]
    together = row(compare((snapshot(), *audits)), "modularity")
    assert together.change == max(alone) == alone[1]
    assert [figure.value for figure in together.figures if figure is not None] == [0.5, 0.5, 0.9, 0.6]


def test_latents_active_nowhere_are_left_out_and_those_active_somewhere_are_not() -> None:
    rows = compare((snapshot(), snapshot()))
    assert {entry.latent for entry in rows} == {None, "z0", "z1"}
    woken = BASE.with_latents(z2=replace(BASE.latents["z2"], kl=0.5))
    assert {entry.latent for entry in compare((snapshot(), snapshot(woken)))} == {None, "z0", "z1", "z2"}


def test_figures_that_fewer_than_two_audits_have_are_left_out() -> None:
    with_auc, without = BASE.with_model(auc=0.8), BASE.without("modularity")
    rows = compare((snapshot(with_auc), snapshot(without)))
    assert not [entry for entry in rows if entry.metric in ("auc", "modularity")]
    three = compare((snapshot(with_auc), snapshot(without), snapshot(BASE.with_model(auc=0.9))))
    auc = row(three, "auc")
    assert auc.figures[1] is None
    assert auc.change > 1
    undefined = compare((snapshot(BASE.with_model(auc=None)), snapshot(with_auc)))
    assert not [entry for entry in undefined if entry.metric == "auc"]


def test_a_figure_that_the_first_audit_lacks_is_shown_last_without_a_change() -> None:
    later = [snapshot(BASE.with_model(auc=value)) for value in (0.5, 0.9)]
    rows = compare((snapshot(), *later))
    assert rows[-1].metric == "auc"
    assert np.isnan(rows[-1].change)
    assert rows[-1].figures[0] is None


def test_a_change_without_an_interval_comes_first() -> None:
    seen = snapshot(kept=False)
    bare = changed(seen, figures={**seen.compared.figures, "mse": Estimate(0.2, None, None, 400)})
    rows = compare((snapshot(), bare))
    assert rows[0].metric == "mse"
    assert rows[0].change == float("inf")


def test_undefined_figures_of_a_latent_have_no_change() -> None:
    odd = BASE.with_latents(z0=Z(BASE.latents["z0"].effects, specificity=None))
    rows = compare((snapshot(), snapshot(odd)))
    found = row(rows, "specificity", "z0")
    assert np.isnan(found.change)
    assert rows[-1] == found


def test_reports_are_taken_as_they_are() -> None:
    report = make_report(Shape(levels=(2,)))
    rows = compare((report, report))
    assert {entry.change for entry in rows} == {0.0}
    assert row(rows, "mse").figures[0] == report.reconstruction.mse  # type: ignore[union-attr]
