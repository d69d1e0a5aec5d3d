from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lem.errors import TrainingError
from lem.model.recurrence import COEFFICIENTS, KANMemory, kan_basis, kan_slope, spline_middles
from lem.model.tkan import TKAN
from tests.lem.builders import PROPERTY
from tests.lem.model.tkan_reference import spline_basis, tkan


def splines(x: torch.Tensor) -> torch.Tensor:
    """The values of the layer's splines, (*x, G), x of three dimensions."""
    silu, out = torch.empty_like(x), x.new_empty(*x.shape, COEFFICIENTS)
    kan_basis(x, spline_middles(x), silu, out)
    torch.testing.assert_close(silu, torch.nn.functional.silu(x), rtol=0, atol=0)
    return out / 6.0


def test_the_basis_is_the_recursively_defined_one():
    x = torch.linspace(-1.5, 1.5, 601, dtype=torch.float64).reshape(1, 1, -1)
    torch.testing.assert_close(splines(x), spline_basis(x), rtol=0, atol=1e-12)


def test_the_basis_is_a_partition_of_unity_and_constant_outside_of_its_range():
    basis = splines(torch.linspace(-1, 1, 1001, dtype=torch.float64).reshape(1, 1, -1))
    assert (basis >= -1e-15).all()
    assert (basis.sum(-1) - 1).abs().max() < 1e-12
    far, edge = torch.tensor([[[-7.0, 7.0]]]), torch.tensor([[[-1.0, 1.0]]])
    assert torch.equal(splines(far), splines(edge))


def test_the_slopes_are_the_derivatives_of_the_basis():
    x = torch.linspace(-1.5, 1.5, 602, dtype=torch.float64).reshape(1, 1, -1)
    step = 1e-6
    rise = (splines(x + step) - splines(x - step)) * 6.0 / (2 * step)
    slope = kan_slope(x)
    torch.testing.assert_close(slope[..., 1:], rise, rtol=0, atol=1e-6)
    silu = torch.nn.functional.silu
    torch.testing.assert_close(slope[..., 0], (silu(x + step) - silu(x - step)) / (2 * step), rtol=0, atol=1e-8)


def compare(layer: TKAN, x_BTI: torch.Tensor, tolerance: float) -> None:
    """Outputs and the gradients of inputs and of every parameter, against the equations as they stand."""
    weight_BTH = torch.randn(*x_BTI.shape[:2], layer.hidden, dtype=x_BTI.dtype)
    results = []
    for run in (lambda x: layer(x)[0], lambda x: tkan(layer, x)):
        x = x_BTI.clone().requires_grad_()
        out = run(x)
        loss = (out * weight_BTH).sum() / len(x_BTI)
        names, parameters = zip(*layer.named_parameters(), strict=True)
        gradients = torch.autograd.grad(loss, [x, *parameters], materialize_grads=True)
        results.append((("output", "inputs", *names), (out, *gradients)))
    (names, fast), (_, plain) = results
    for name, one, other in zip(names, fast, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


SIZES = st.tuples(*(st.integers(1, high) for high in (5, 16, 5, 7, 4, 5)))


@PROPERTY
@given(SIZES, st.integers(0, 2**31), st.floats(0.3, 4.0))
def test_outputs_and_gradients_are_those_of_the_equations(sizes, seed, scale):
    batch, bars, inputs, hidden, kan_layers, kan_width = sizes
    torch.manual_seed(seed)
    layer = TKAN(inputs, hidden, kan_layers, kan_width)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    x_BTI = torch.randn(batch, bars, inputs) * scale
    compare(layer, x_BTI, 1e-5)
    compare(layer.double(), x_BTI.double(), 1e-10)


def test_a_long_sequence_of_the_default_size_has_the_outputs_and_gradients_of_the_equations():
    torch.manual_seed(0)
    layer = TKAN(32, 32, 2, 8)
    x_BTI = torch.randn(4, 150, 32)
    compare(layer, x_BTI, 1e-5)
    compare(layer.double(), x_BTI.double(), 1e-10)


def memory_inputs(bars: int, layers: int, batch: int, width: int) -> list[torch.Tensor]:
    """Inputs of `KANMemory`; only the state before the first bar asks for no gradient."""
    shapes = (
        (bars, layers, batch, width),
        (layers, batch, width),
        (layers, width, 2 * width),
        (layers, width * (1 + COEFFICIENTS), width),
        (layers, width, width),
    )
    inputs = [torch.randn(shape, dtype=torch.float64) * 0.4 for shape in shapes]
    return [x.requires_grad_(i != 1) for i, x in enumerate(inputs)]


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (4, 2, 3, 2), (6, 1, 2, 3)])
def test_the_backward_pass_of_the_memory_is_that_of_finite_differences(sizes):
    torch.manual_seed(4)
    assert torch.autograd.gradcheck(lambda *inputs: KANMemory.apply(*inputs)[0], memory_inputs(*sizes))


def test_the_memory_refuses_a_gradient_into_the_state_before_the_first_bar():
    inputs = memory_inputs(3, 1, 2, 2)
    inputs[1].requires_grad_()
    out, last = KANMemory.apply(*inputs)
    assert not last.requires_grad
    with pytest.raises(TrainingError, match="gradients do not flow through a carried state"):
        out.sum().backward()


def test_the_state_carries_no_gradient_into_the_bars_before():
    torch.manual_seed(5)
    layer = TKAN(3, 5, 2, 3)
    x = torch.randn(2, 6, 3, requires_grad=True)
    state = layer(x[:, :4])[1]
    assert not any(part.requires_grad for part in state)
    layer(x[:, 4:], state)[0].sum().backward()
    assert x.grad[:, :4].abs().max() == 0
    assert x.grad[:, 4:].abs().min() > 0


@torch.no_grad()
@PROPERTY
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 2**31))
def test_a_sequence_in_pieces_gives_what_it_gives_in_one(pieces, seed):
    torch.manual_seed(seed)
    layer = TKAN(3, 5, 2, 3).double()
    x = torch.randn(2, sum(pieces), 3, dtype=torch.float64) * 2
    state, out = None, []
    for piece in x.split(pieces, dim=1):
        h, state = layer(piece, state)
        out.append(h)
    whole, last = layer(x)
    torch.testing.assert_close(torch.cat(out, 1), whole, rtol=1e-12, atol=1e-12)
    for one, other in zip(state, last, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_a_bar_changes_no_earlier_state_and_all_later_ones():
    torch.manual_seed(2)
    layer = TKAN(3, 5, 2, 3)
    x = torch.randn(2, 12, 3)
    changed = x.clone()
    changed[:, 7] += 1.0
    one, two = layer(x)[0], layer(changed)[0]
    assert torch.equal(one[:, :7], two[:, :7])
    assert (one[:, 7:] != two[:, 7:]).any(dim=-1).all()


def test_a_long_sequence_stays_bounded_and_has_a_gradient_from_end_to_start():
    torch.manual_seed(3)
    layer = TKAN(3, 5, 2, 3)
    x = (torch.randn(1, 600, 3) * 3).requires_grad_()
    out = layer(x)[0]
    assert out.abs().max() < 1.0
    out[:, 40].sum().backward()
    assert x.grad[:, 41:].abs().max() == 0
    assert x.grad[:, 0].abs().max() > 0
