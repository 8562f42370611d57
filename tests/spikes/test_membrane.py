"""The final membrane that spikes of a layer in continuous time carry."""

import pytest
import torch

import ranvier as rv


def layer_spikes() -> rv.Spikes:
    inputs = rv.Spikes.from_samples([([0.001], [0]), ([0.001, 0.002], [0, 1])], unit_shape=2, duration=0.02)
    layer = rv.Spiking(2, 3, rv.CubaLIF(), weights=rv.init.normal(4.0, 1.0))
    return layer(inputs)


def test_a_layer_in_continuous_time_hands_out_its_final_membrane() -> None:
    spikes = layer_spikes()
    assert spikes.membrane is not None
    assert spikes.membrane.shape == (2, 3)
    assert spikes.membrane.requires_grad
    assert float(spikes.membrane.detach().abs().min()) > 0


def test_selection_takes_its_rows_and_delays_and_grids_drop_it() -> None:
    spikes = layer_spikes()
    assert spikes.n_events
    assert torch.equal(spikes[[1]].membrane, spikes.membrane[1:])
    assert spikes.delayed(1e-3).membrane is None
    assert spikes.on_grid(1e-3, coincident="sum").membrane is None
    assert rv.collate([spikes, spikes]).membrane is None


def test_a_wrong_shape_is_refused() -> None:
    spikes = layer_spikes()
    with pytest.raises(ValueError, match=r"`membrane` of Spikes must have one entry per sample and unit, \(2, 3\)"):
        rv.Spikes(**{**spikes.__dict__, "membrane": torch.zeros(2, 2)})
