"""`training.device`: which device trains, that its manifest names it, and that nothing but rounding depends on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from lem.errors import TrainingError
from lem.execution.costs_config import CostsConfig
from lem.model.lem import LEM
from lem.training.device import devices, fixed_kernels, machine, moved, with_device
from lem.training.distributed import shared_dropout
from lem.training.nightly import train_for
from lem.training.objective import expected_outcome, objective
from lem.training.rebuild import differences, rebuild
from lem.training.trainer import Batches, train
from lem.universe.training_config import TrainingConfig
from tests.lem.builders import TINY, TINY_TRAINING, brownian_panel
from tests.lem.training.conftest import DATE

ABSENT = sorted({"cuda", "mps"} - set(devices()))
HORIZON = 4


def on(universe, device):
    return universe.model_copy(update={"training": universe.training.model_copy(update={"device": device})})


def test_a_device_that_is_not_there_is_refused_by_name_before_anything_is_read(lake, registry, universe):
    with pytest.raises(TrainingError, match=rf"training\.device: '{ABSENT[0]}' is not there.*finds .*cpu"):
        train_for(lake, registry, on(universe, ABSENT[0]), DATE.replace(year=1999))
    assert registry.models() == []


def test_auto_is_this_machines_own_device_and_the_manifest_names_it(lake, registry, universe):
    record = train_for(lake, registry, on(universe, "auto"), DATE).record
    assert record.manifest["training"]["device"] == devices()[0]
    assert record.manifest["machine"] == machine(devices()[0])
    assert rebuild(lake, record).weights_sha256 == record.weights_sha256


def test_ranks_train_on_the_cpu_where_the_device_is_left_to_the_machine(monkeypatch):
    monkeypatch.setattr("lem.training.device.devices", lambda: ["cuda", "cpu"])
    assert with_device(TrainingConfig(device="auto")).device == "cuda"
    assert with_device(TrainingConfig(device="auto", workers=2)).device == "cpu"


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_ranks_cannot_be_asked_to_train_on_a_gpu(device):
    with pytest.raises(ValidationError, match=rf"device: '{device}' with 2 workers.*allowed: 'cpu', or workers = 1"):
        TrainingConfig(device=device, workers=2)


def test_a_model_of_a_gpu_is_not_rebuilt_on_another_device(lake, registry, universe):
    record = train_for(lake, registry, universe, DATE).record
    training = record.manifest["training"] | {"device": ABSENT[0]}
    with pytest.raises(TrainingError, match=rf"training\.device: '{ABSENT[0]}' is not there"):
        rebuild(lake, replace(record, manifest=record.manifest | {"training": training}))


def test_a_manifest_from_before_the_setting_is_of_a_cpu(lake, registry, universe):
    record = train_for(lake, registry, universe, DATE).record
    training = {key: value for key, value in record.manifest["training"].items() if key != "device"}
    before = replace(record, manifest=record.manifest | {"training": training})
    assert (rebuild(lake, before).weights_sha256, differences(before)) == (record.weights_sha256, [])


def test_another_gpu_is_told_as_another_machine(lake, registry, universe, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA One")
    record = train_for(lake, registry, universe, DATE).record
    training = record.manifest["training"] | {"device": "cuda"}
    made = replace(record, manifest=record.manifest | {"training": training, "machine": machine("cuda")})
    assert differences(made) == []
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA Other")
    (told,) = differences(made)
    assert told.startswith("machine was")
    assert told.endswith("with NVIDIA Other")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"base": "even"},
        {"independent_heads": False},
        {"recurrence": "lstm"},
        {"recurrence": "none", "attention": False, "variable_selection": False, "signed": True},
    ],
)
def test_no_part_of_a_step_stays_behind_on_the_cpu(changes):
    """On the device `meta`, which has shapes and no values, a tensor of the CPU in an operation is an error."""
    config = TINY.model_copy(update=changes)
    batch = moved(
        Batches(brownian_panel(), HORIZON, config.warmup, TINY_TRAINING, CostsConfig()).draw(slice(0, 2)), "meta"
    )
    model = LEM(config, seed=0).train()
    optimiser = torch.optim.AdamW(model.parameters())
    with shared_dropout(model, None, 2, "meta"):
        model.to("meta")
        context_BTH = model.encode(batch.features_BTF, batch.valid_BT)
        outcome = expected_outcome(
            model, context_BTH, batch.first, batch.tape, batch.terms, TINY_TRAINING.arrival_every
        )
        loss, gain = objective(outcome, batch.terms, batch.tape.accepted_BA, TINY_TRAINING, batch.counts)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    assert {loss.device.type, gain.device.type, *(p.device.type for p in model.parameters())} == {"meta"}
    assert all(p.grad is not None and p.grad.device.type == "meta" for p in model.context.parameters())


def test_dropout_on_another_device_has_the_masks_of_the_cpu():
    model = LEM(TINY.model_copy(update={"dropout": 0.5}), seed=0).train()
    features_BTF, valid_BT = torch.randn(3, 12, 13), torch.ones(3, 12, dtype=torch.bool)
    torch.manual_seed(1)
    plain = model.encode(features_BTF, valid_BT)
    torch.manual_seed(1)
    with shared_dropout(model, None, 3, "meta"):
        assert torch.equal(model.encode(features_BTF, valid_BT), plain)


def test_kernels_are_fixed_for_the_training_only(monkeypatch):
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    with fixed_kernels("cuda"):
        assert torch.get_float32_matmul_precision() == "highest"
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.benchmark
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.benchmark
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.deterministic) == (before[0], before[2])


@pytest.mark.skipif(len(devices()) == 1, reason="this machine has no GPU that torch finds (cuda, mps)")
@pytest.mark.parametrize("device", devices()[:-1])
def test_a_gpu_has_the_loss_curve_of_the_cpu_and_the_same_bits_each_time(device):
    panel, config = brownian_panel(assets=2), TINY_TRAINING.model_copy(update={"steps": 20})

    def trained(on):
        return train(panel, HORIZON, TINY, config.model_copy(update={"device": on}), CostsConfig())

    cpu, gpu, again = trained("cpu"), trained(device), trained(device)
    loss, gain = ([[getattr(p, name) for p in one.curve] for one in (cpu, gpu)] for name in ("loss", "gain_sigma"))
    np.testing.assert_allclose(loss[1], loss[0], atol=1e-4, rtol=0)
    np.testing.assert_allclose(gain[1], gain[0], atol=1e-4, rtol=0)
    assert gpu.model.weights() == again.model.weights()
    assert {p.device.type for p in gpu.model.parameters()} == {"cpu"}
