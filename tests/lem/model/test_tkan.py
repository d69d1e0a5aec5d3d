from __future__ import annotations

import numpy as np
import pytest
import torch

from lem.model.tkan import GRID_INTERVALS, SPLINE_ORDER, TKAN, cubic_basis


def cox_de_boor(x: np.ndarray, knots: np.ndarray, i: int, order: int) -> np.ndarray:
    """B-spline i of this order on the knots, by its recursive definition."""
    if order == 0:
        return ((knots[i] <= x) & (x < knots[i + 1])).astype(float)
    left = (x - knots[i]) / (knots[i + order] - knots[i]) * cox_de_boor(x, knots, i, order - 1)
    right = (knots[i + order + 1] - x) / (knots[i + order + 1] - knots[i + 1])
    return left + right * cox_de_boor(x, knots, i + 1, order - 1)


def test_the_basis_is_the_recursively_defined_one():
    x = np.linspace(-1, 1, 401)
    step = 2 / GRID_INTERVALS
    knots = -1 + step * np.arange(-SPLINE_ORDER, GRID_INTERVALS + SPLINE_ORDER + 1)
    count = GRID_INTERVALS + SPLINE_ORDER
    expected = np.stack([cox_de_boor(x, knots, i, SPLINE_ORDER) for i in range(count)], axis=-1)
    np.testing.assert_allclose(cubic_basis(torch.from_numpy(x)).numpy(), expected, atol=1e-12)


def test_the_basis_is_a_partition_of_unity_and_constant_outside_of_its_range():
    x = torch.linspace(-1, 1, 1001, dtype=torch.float64)
    basis = cubic_basis(x)
    assert (basis >= 0).all()
    assert (basis.sum(-1) - 1).abs().max() < 1e-12
    assert torch.equal(cubic_basis(torch.tensor([-7.0, 7.0])), cubic_basis(torch.tensor([-1.0, 1.0])))


def written_out(layer: TKAN, x_TI: torch.Tensor) -> torch.Tensor:
    """The recurrence of one sequence, number by number, from the equations of the module's docstring."""
    hidden, width = layer.hidden, layer.kan_width
    h, c = torch.zeros(hidden, dtype=x_TI.dtype), torch.zeros(hidden, dtype=x_TI.dtype)
    memory = [torch.zeros(width, dtype=x_TI.dtype) for _ in range(layer.kan_layers)]
    into_kan, into_memory = layer.memory_LWX[..., :width], layer.memory_LWX[..., width:]
    out = []
    for x in x_TI:
        gates = layer.gates_x.weight @ x + layer.gates_x.bias + layer.gates_h.weight @ h
        forget, enter = torch.sigmoid(gates[:hidden]), torch.sigmoid(gates[hidden : 2 * hidden])
        new = torch.tanh(gates[2 * hidden :])
        answers = []
        for sub in range(layer.kan_layers):
            rows = slice(sub * width, (sub + 1) * width)
            s = layer.kan_x.weight[rows] @ x + layer.kan_x.bias[rows] + memory[sub] @ into_kan[sub]
            o = torch.zeros(width, dtype=x.dtype)
            for i in range(width):
                spline = layer.kan.spline_LVW[sub].reshape(width, -1, width)[i]
                o = o + s[i] * torch.sigmoid(s[i]) * layer.kan.base_LWW[sub, i] + cubic_basis(s[i]) @ spline
            memory[sub] = torch.tanh(memory[sub] @ into_memory[sub] + o @ layer.memory_o_LWW[sub])
            answers.append(o)
        gate = torch.sigmoid(layer.output.weight @ torch.cat(answers) + layer.output.bias)
        c = forget * c + enter * new
        h = gate * torch.tanh(c)
        out.append(h)
    return torch.stack(out)


@pytest.mark.parametrize(("kan_layers", "kan_width"), [(1, 1), (2, 3), (3, 5)])
@torch.no_grad()
def test_the_layer_does_what_its_equations_say(kan_layers, kan_width):
    torch.manual_seed(1)
    layer = TKAN(4, 6, kan_layers, kan_width).double()
    x_BTI = torch.randn(3, 9, 4, dtype=torch.float64) * 2
    out_BTH = layer(x_BTI)
    for x_TI, out_TH in zip(x_BTI, out_BTH, strict=True):
        torch.testing.assert_close(written_out(layer, x_TI), out_TH, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_a_bar_changes_no_earlier_state_and_all_later_ones():
    torch.manual_seed(2)
    layer = TKAN(3, 5, 2, 3)
    x = torch.randn(2, 12, 3)
    changed = x.clone()
    changed[:, 7] += 1.0
    one, two = layer(x), layer(changed)
    assert torch.equal(one[:, :7], two[:, :7])
    assert (one[:, 7:] != two[:, 7:]).any(dim=-1).all()


def test_a_long_sequence_stays_bounded_and_has_a_gradient_from_end_to_start():
    torch.manual_seed(3)
    layer = TKAN(3, 5, 2, 3)
    x = (torch.randn(1, 600, 3) * 3).requires_grad_()
    out = layer(x)
    assert out.abs().max() < 1.0
    out[:, 40].sum().backward()
    assert x.grad[:, 41:].abs().max() == 0
    assert x.grad[:, 0].abs().max() > 0
