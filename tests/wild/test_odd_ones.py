"""Noise beside that of the code neither hides a VAE nor passes for its posterior."""

from __future__ import annotations

import odd_impostors
import odd_strangers
import pytest
import schooling
import torch
from judging import agrees, resolved
from torch import Tensor, nn

from circuitprobe.adapters.models.recognise.rows import columns_in_other_places
from circuitprobe.errors import ModelError
from circuitprobe.probe import untouched


@pytest.mark.parametrize("kind", odd_strangers.ODD, ids=lambda kind: kind.__name__)
def test_noise_beside_the_code_does_not_hide_it(kind: type[nn.Module]) -> None:
    x = schooling.table()
    model = schooling.schooled(kind, x)
    vae = resolved(model, x)
    agrees(vae, model, x)
    with untouched(model):
        posterior, (mean, _) = vae.encode(x), model.truth(x)
        # far out, where a clamp shows; and twice, where noise does
        z = 4 * torch.randn(mean.shape, generator=torch.Generator().manual_seed(4))
        assert torch.allclose(vae.decode(z), model.author_decode(z), rtol=1e-4, atol=1e-4)
        assert torch.equal(vae.decode(posterior.mean), vae.decode(posterior.mean))


def test_indices_looked_up_as_one_hot() -> None:
    x = schooling.table()
    model = schooling.schooled_by_forward(odd_strangers.OneHotLookup(), x)
    vae = resolved(model, x)
    with untouched(model):
        indices = vae.encode(x).mean
        assert torch.equal(indices, model.indices(x).reshape(-1, 4).float())
        other = torch.randint(0, 8, indices.shape).float()
        assert torch.allclose(vae.decode(other), model.author_decode(other), atol=1e-5)


@pytest.mark.parametrize(("kind", "words"), odd_impostors.ODD.items(), ids=lambda v: getattr(v, "__name__", ""))
def test_what_would_be_read_wrongly_is_asked_about(kind: type[nn.Module], words: str) -> None:
    x = schooling.table()
    torch.manual_seed(0)
    # unschooled, these would be asked about for giving nothing back
    model = (
        schooling.schooled(kind, x)
        if issubclass(kind, odd_strangers.Plain) and kind is not odd_impostors.Halves
        else kind()
    )
    with pytest.raises(ModelError, match=words) as caught:
        resolved(model, x.bfloat16() if kind is odd_impostors.Halves else x)
    assert "spec" in caught.value.fix


def shuffled(order: list[int]) -> tuple[Tensor, Tensor]:
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    return x[:, order] + 0.1, x


def test_columns_in_each_others_places() -> None:
    assert columns_in_other_places(*shuffled([0, 1, 2, 3])) == ()
    assert columns_in_other_places(*shuffled([0, 2, 1, 3])) == ((1, 2), (2, 1))
    assert columns_in_other_places(*shuffled([3, 0, 1, 2])) == ((0, 1), (1, 2), (2, 3), (3, 0))


def test_a_column_that_is_lost_is_in_no_other_place() -> None:
    """Column 1 comes back as its mean, and column 0 would have done better."""
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    x[:, 1] = x[:, 0] + 0.3 * x[:, 1]
    made = x.clone()
    made[:, 1] = 0.0
    assert columns_in_other_places(made, x) == ()


def test_columns_alike_in_each_others_places() -> None:
    """Correlation of 0.9 hides an exchange from the question whether the rows come back."""
    x = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    x[:, 1] = x[:, 0] + 0.48 * x[:, 1]
    assert columns_in_other_places(x[:, [1, 0, 2]], x) == ((0, 1), (1, 0))
    assert columns_in_other_places(x[:, [0, 0, 2]], x) == ()
