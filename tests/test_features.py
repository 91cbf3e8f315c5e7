"""Probes and a sparse autoencoder, against numpy and against vectors made of features."""

import numpy as np
import pytest
import torch

from course_lib import features
from course_lib.devices import generator


def made_of(count=2_000, channels=16, directions=24, seed=0):
    """Vectors that are sums of three of 24 directions, and the directions."""
    chance = generator(seed)
    down = torch.randn(directions, channels, generator=chance)
    down = down / down.norm(dim=1, keepdim=True)
    which = torch.stack(
        [torch.randperm(directions, generator=chance)[:3] for _ in range(count)]
    )
    strength = 1 + torch.rand(count, 3, generator=chance)
    return (down[which] * strength[..., None]).sum(1), down


def test_fit_is_ridge_regression():
    chance = generator(0)
    x, y = (
        torch.randn(30, 5, generator=chance),
        torch.randn(30, generator=chance).sign(),
    )
    found = features.fit(x, y, 0.3).numpy()

    def cost(w):
        return ((x.numpy() @ w - y.numpy()) ** 2).sum() + 0.3 * 30 * (w**2).sum()

    for channel in range(5):  # nowhere is a step down
        for step in (-1e-2, 1e-2):
            moved = found.copy()
            moved[channel] += step
            assert cost(moved) > cost(found)


def test_a_probe_finds_a_direction_and_none_where_there_is_none():
    chance = generator(1)
    y = torch.randn(400, generator=chance).sign()
    x = torch.randn(400, 20, generator=chance) * 5 + 3
    noise = features.probe(x[:200], y[:200], x[200:], y[200:])
    x[:, 7] += 15 * y
    found = features.probe(x[:200], y[:200], x[200:], y[200:])
    assert min(found) > 0.95 and noise[0] > 0.55 and 0.35 < noise[1] < 0.65


def test_a_probe_is_as_good_on_one_new_vector_as_on_many():
    x, _ = made_of(80)
    y = x[:, 0].sign()
    every = features.probe(x[:60], y[:60], x[60:], y[60:])[1]
    one = [
        features.probe(x[:60], y[:60], x[i : i + 1], y[i : i + 1])[1]
        for i in range(60, 80)
    ]
    assert every == pytest.approx(np.mean(one))


def test_explained_is_r_squared_over_all_channels():
    x, _ = made_of(50)
    rebuilt = x + torch.randn(x.shape, generator=generator(0))
    left = ((x - rebuilt) ** 2).mean(0).sum() / x.var(0, correction=0).sum()
    assert features.explained(x, rebuilt) == pytest.approx(1 - float(left), abs=1e-5)
    assert features.explained(x, x) == 1
    assert features.explained(x, x.mean(0).expand_as(x)) == pytest.approx(0, abs=1e-5)


def test_an_autoencoder_uses_few_features_and_adds_them_up():
    model = features.SparseAutoencoder(16, 40, 4, generator(0))
    x, _ = made_of(30)
    found = model.encode(x)
    assert found.shape == (30, 40) and (found >= 0).all()
    assert ((found > 0).sum(1) <= 4).all() and (found > 0).any(1).all()
    by_hand = model.centre + sum(found[:, i, None] * model.down[i] for i in range(40))
    assert torch.allclose(model(x), by_hand, atol=1e-5)
    every = model.all_features(x)
    for row, kept in zip(every, found):  # none that was left out fits better
        assert kept[kept > 0].min() >= row[kept == 0].max() or (kept > 0).sum() < 4


def test_training_finds_the_directions_that_vectors_are_made_of():
    x, down = made_of()
    model = features.train_autoencoder(x, 48, 3, 400, 256, bar=False)
    assert features.explained(x, model(x)) > 0.9
    assert torch.allclose(model.down.norm(dim=1), torch.ones(48), atol=1e-5)
    best = (down @ model.down.T).amax(
        1
    )  # for each true one, the nearest that was found
    assert (best > 0.9).float().mean() > 0.7
    assert not any(weight.requires_grad for weight in model.parameters())


def test_the_same_seed_learns_the_same():
    x, _ = made_of(300)
    one, other = (
        features.train_autoencoder(x, 20, 3, 5, 32, seed=2, bar=False) for _ in range(2)
    )
    assert torch.equal(one.down, other.down)


def test_dead_features_are_set_to_what_is_missed():
    x, _ = made_of(200)
    model = features.SparseAutoencoder(16, 8, 2, generator(0))
    model.quiet[3] = features.DEAD + 1
    with torch.no_grad():
        model.up[3], model.bias[3] = 0, 1e-3  # the faintest: never among the best
        model.bias[:3] += 1
        model.bias[4:] += 1
    model.loss(x).backward()
    assert model.down.grad[3].abs().sum() > 0


def test_ctrl_c_gives_what_was_learned(monkeypatch):
    x, _ = made_of(100)
    right, calls = features.SparseAutoencoder.loss, []

    def loss(self, some):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return right(self, some)

    monkeypatch.setattr(features.SparseAutoencoder, "loss", loss)
    model = features.train_autoencoder(x, 20, 3, 50, 32, bar=False)
    assert len(calls) == 3 and model(x).shape == x.shape
