"""Encoder and decoder in the styles that people write, and refusals where they cannot be told apart."""

from __future__ import annotations

import pytest
import styles
import torch
from torch import Tensor, nn

from circuitprobe.adapters.models import ModelSpec, fresh_twin, input_width, wrap
from circuitprobe.errors import ModelError, UsageError
from circuitprobe.types import Posterior

ROWS = torch.tensor([[0.5, -1.0, 3.0], [2.0, 0.0, 1.0], [-1.0, 4.0, 0.0]])

RECOGNISED = [
    styles.TupleStyle,
    styles.DictStyle,
    styles.StdDictStyle,
    styles.NamedTupleStyle,
    styles.DataclassStyle,
    styles.DistributionStyle,
    styles.SampleFirstStyle,
    styles.ModuleStyle,
    styles.HeadsStyle,
    styles.DecoderTupleStyle,
]


@pytest.mark.parametrize("style", RECOGNISED, ids=lambda style: style.__name__)
def test_every_style_gives_the_same_posterior_and_rows(style: type[nn.Module]) -> None:
    vae = wrap(style()).resolved(ROWS)
    posterior = vae.encode(ROWS)
    assert torch.equal(posterior.mean, ROWS[:, :2])
    assert posterior.log_var is not None
    assert torch.allclose(posterior.log_var, torch.full((3, 2), styles.LOG_VAR), atol=1e-6)
    expected = torch.cat([2 * ROWS[:, :2], torch.zeros(3, 1)], dim=1)
    assert torch.equal(vae.decode(posterior.mean), expected)


@pytest.mark.parametrize("style", RECOGNISED, ids=lambda style: style.__name__)
def test_width_is_found_by_running(style: type[nn.Module]) -> None:
    assert input_width(wrap(style())) == 3


def test_tensors_that_nothing_explains_are_asked_about_and_a_spec_answers() -> None:
    with pytest.raises(ModelError, match="nothing says which is what") as caught:
        wrap(styles.StdStyle()).resolved(ROWS)
    assert "posterior = " in caught.value.fix
    log_var = wrap(styles.StdStyle(), spec=ModelSpec(posterior=("mean", "std"))).resolved(ROWS).encode(ROWS).log_var
    assert log_var is not None
    assert torch.allclose(log_var, torch.full((3, 2), styles.LOG_VAR), atol=1e-6)


class NamesTheOrderWrong(styles.SwappedStyle):
    """The source says (mean, log_var)."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.v(x), self.m(x)
        return mean, log_var


def test_swapped_order_is_noticed_and_a_spec_answers() -> None:
    """The decoder doubles; rows (a, b, 0) with a, b in the code come back nearly from the mean, not from -1.39."""
    rows = torch.tensor([[4.0, -3.0, 0.0], [-2.0, 5.0, 0.0], [3.0, 3.0, 0.0]])
    model = NamesTheOrderWrong()
    with torch.no_grad():
        model.d.weight /= 2
    with pytest.raises(ModelError, match="the rows come back better") as caught:
        wrap(model).resolved(rows)
    assert '["log_var", "mean"]' in caught.value.fix
    vae = wrap(model, spec=ModelSpec(posterior=("log_var", "mean"))).resolved(rows)
    assert torch.equal(vae.encode(rows).mean, rows[:, :2])


def test_plain_autoencoder_is_refused_but_callables_are_taken_at_their_word() -> None:
    with pytest.raises(ModelError, match="a code without its variance"):
        wrap(styles.Autoencoder()).resolved(ROWS)
    vae = wrap(styles.Autoencoder(), encode=lambda m, x: m.encode(x), decode=lambda m, z: m.decode(z)).resolved(ROWS)
    assert vae.encode(ROWS).log_var is None


def test_callables_may_return_a_posterior_or_a_pair() -> None:
    model = styles.StdStyle()
    for encode in (
        lambda m, x: (m.m(x), m.v(x)),
        lambda m, x: Posterior(m.m(x), m.v(x)),
    ):
        vae = wrap(model, encode=encode, decode=lambda m, z: m.d(z)).resolved(ROWS)
        assert torch.equal(vae.encode(ROWS).mean, ROWS[:, :2])


def test_one_callable_is_enough_where_the_other_half_is_known() -> None:
    vae = wrap(styles.TupleStyle(), encode=lambda m, x: (m.m(x) + 1, m.v(x))).resolved(ROWS)
    assert torch.equal(vae.encode(ROWS).mean, ROWS[:, :2] + 1)
    with pytest.raises(UsageError, match="no decode"):
        wrap(styles.Classifier(), encode=lambda m, x: (x, x))


def test_classifier_is_refused_with_what_it_has() -> None:
    with pytest.raises(ModelError, match="no encoder and decoder") as caught:
        wrap(styles.Classifier()).resolved(ROWS)
    assert "body, head" in caught.value.seen
    assert "--spec" in caught.value.fix


def test_not_a_module() -> None:
    with pytest.raises(UsageError, match="given dict"):
        wrap({"a": 1})  # type: ignore[arg-type]


def test_decoder_of_another_width_is_refused() -> None:
    model = styles.TupleStyle()
    model.d = nn.Linear(2, 5)
    with pytest.raises(ModelError, match=r"\(3, 5\)"):
        wrap(model).resolved(ROWS)


def test_nan_output_names_the_row() -> None:
    model = styles.TupleStyle()
    rows = ROWS.clone()
    rows[1, 0] = float("nan")
    with pytest.raises(ModelError, match="nan or infinity in 1 of 3 rows, first in row 1"):
        wrap(model).resolved(rows)


def test_spec_names_halves_by_dotted_path() -> None:
    outer = nn.Module()
    outer.net = styles.ModuleStyle()
    order = ("mean", "log_var")
    vae = wrap(outer, spec=ModelSpec(encode="net.encoder", decode="net.decoder", posterior=order)).resolved(ROWS)
    assert torch.equal(vae.encode(ROWS).mean, ROWS[:, :2])
    with pytest.raises(ModelError, match=r"'net\.encodr' is no module"):
        wrap(outer, spec=ModelSpec(encode="net.encodr", decode="net.decoder"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("encod = 'a'", "unknown key 'encod'"),
        ("encode = 3", "encode = 3"),
        ("posterior = ['mean', 'sigma']", "posterior"),
        ("posterior = ['std']", "posterior"),
        ("output = 'softmax'", "output"),
        ("input_width = -1", "input_width"),
        ("encode = ", "not valid TOML"),
    ],
)
def test_spec_files_are_checked(tmp_path: object, text: str, message: str) -> None:
    path = tmp_path / "vae.toml"  # type: ignore[operator]
    path.write_text(text)
    with pytest.raises(ModelError, match=message):
        ModelSpec.load(path)
    with pytest.raises(ModelError, match="There is no spec file"):
        ModelSpec.load(tmp_path / "none.toml")  # type: ignore[operator]


def test_twin_is_fresh_documented_and_leaves_the_model_alone() -> None:
    model = nn.Module()
    model.linear, model.free = nn.Linear(3, 2), nn.Parameter(torch.tensor([3.0, -4.0]))
    model.encode, model.decode = lambda x: (x, x), lambda z: z
    vae = wrap(model, encode=lambda m, x: (x, x), decode=lambda m, z: z)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    twin, how = fresh_twin(vae, 7)
    assert twin is not None
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    torch.manual_seed(7)
    expected_linear = nn.Linear(3, 2)
    expected_free = torch.empty(2).normal_(0.0, 12.5**0.5)
    torch.set_rng_state(state)
    assert torch.equal(twin.model.linear.weight, expected_linear.weight)
    assert torch.equal(twin.model.free, expected_free)
    assert how == "reset_parameters of 1 modules; drawn from N(0, mean of their squares): free"


def test_model_that_cannot_be_copied_has_no_twin() -> None:
    class Unique(styles.TupleStyle):
        def __deepcopy__(self, memo: object) -> None:
            raise TypeError("only one of me")

    twin, how = fresh_twin(wrap(Unique()), 0)
    assert twin is None
    assert how == "no twin: the model cannot be copied (TypeError: only one of me)"
