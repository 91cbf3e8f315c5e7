"""Directions in the residual stream: probes, steering, and a sparse autoencoder.

A probe is a direction that tells two kinds of texts apart; a sparse autoencoder looks
for directions that nobody has named yet. Built in lesson 13.

N vectors, C channels, F features, T position, L layers.
Sources: Alain & Bengio 2016 (probes); Hewitt & Liang 2019 (their controls); Bricken et
al. 2023 (features); Gao et al. 2024 (the k largest, and features that died).
"""

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from course_lib import devices

DEAD = 50  # steps without firing, after which a feature counts as dead


# A probe ------------------------------------------------------------------------------


def fit(x: torch.Tensor, y: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
    """The direction (C) whose dot product with x (N, C) comes nearest to y (N): −1 or 1.

    Least squares with a leash: the sum of squared misses, plus strength · N times the
    direction's own square, is as small as can be (ridge regression, in closed form).
    """
    square = x.T @ x + strength * len(x) * torch.eye(
        x.shape[1], device=x.device
    )  # (C, C)
    return torch.linalg.solve(square, x.T @ y)


def right(direction: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> float:
    """The share of vectors x (N, C) that lie on their label's side of 0."""
    return float(((x @ direction).sign() == y).float().mean())


def probe(
    x: torch.Tensor, y: torch.Tensor, new_x: torch.Tensor, new_y: torch.Tensor
) -> tuple[float, float]:
    """Fit a probe on x (N, C) and labels y: how often is it right there, and on new ones?

    Every channel is brought to mean 0 and spread 1 first, by mean and spread of x: what
    is measured on new vectors must not have seen them.
    """
    mean, spread = x.mean(0), x.std(0) + 1e-6
    x, new_x = (x - mean) / spread, (new_x - mean) / spread
    direction = fit(x, y)
    return right(direction, x, y), right(direction, new_x, new_y)


# A sparse autoencoder -----------------------------------------------------------------


def explained(x: torch.Tensor, rebuilt: torch.Tensor) -> float:
    """The share of the spread of x (N, C) that is in what was rebuilt of it.

    1 − what is missed, squared, over how far x is from its mean, squared; both added up
    over all numbers. 1 is all, 0 no more than the mean vector.
    """
    missed = (x - rebuilt).square().sum()
    spread = (x - x.mean(0)).square().sum()
    return float(1 - missed / spread)


class SparseAutoencoder(nn.Module):
    """Vectors as sums of few features: of F directions, each vector may use `keep`."""

    def __init__(
        self, channels: int, features: int, keep: int, generator: torch.Generator
    ):
        super().__init__()
        self.keep = keep
        down = F.normalize(torch.randn(features, channels, generator=generator), dim=1)
        self.down = nn.Parameter(down)  # (F, C), a direction of length 1 each
        self.up = nn.Parameter(down.clone())  # they start alike
        self.bias = nn.Parameter(torch.zeros(features))
        self.centre = nn.Parameter(torch.zeros(channels))
        self.register_buffer("quiet", torch.zeros(features))  # steps since it fired

    def all_features(self, x: torch.Tensor) -> torch.Tensor:
        """How well each feature fits: (…, C) → (…, F), none below 0."""
        return F.relu((x - self.centre) @ self.up.T + self.bias)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """The `keep` features that fit best, all others 0: (…, C) → (…, F)."""
        top = self.all_features(x).topk(self.keep)
        zeros = x.new_zeros(*x.shape[:-1], len(self.bias))
        return zeros.scatter(-1, top.indices, top.values)

    def decode(self, found: torch.Tensor) -> torch.Tensor:
        """Features, added up in their strengths: (…, F) → (…, C)."""
        return found @ self.down + self.centre

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What is left of vectors: (…, C) → (…, C)."""
        return self.decode(self.encode(x))

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """The mean square that is missed of x (N, C), dead features set to it as well."""
        found = self.encode(x)
        missed = x - self.decode(found)  # (N, C)
        fired = (found > 0).any(0)
        self.quiet = torch.where(fired, 0.0, self.quiet + 1)
        dead = self.quiet > DEAD
        loss = missed.square().mean()
        if dead.any():  # Gao et al. 2024
            aside = self.all_features(x) * dead
            top = aside.topk(self.keep)
            rest = torch.zeros_like(aside).scatter(-1, top.indices, top.values)
            loss = loss + (missed.detach() - rest @ self.down).square().mean() / 32
        return loss


def train_autoencoder(
    x: torch.Tensor,
    features: int,
    keep: int,
    steps: int,
    batch: int = 384,
    seed: int = 0,
    bar: bool = True,
) -> SparseAutoencoder:
    """Learn features from vectors x (N, C), which are best brought to a mean square of 1.

    Ctrl-C ends it early; what was learned by then comes back.
    """
    chance = devices.generator(seed)
    model = SparseAutoencoder(x.shape[1], features, keep, chance)
    with torch.no_grad():
        model.centre.copy_(x.mean(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    try:
        for step in tqdm(range(steps), desc="steps", disable=not bar, delay=2):
            for group in optimizer.param_groups:  # the last fifth grows quiet
                group["lr"] = 3e-3 * min(1, 5 * (steps - step) / steps)
            loss = model.loss(x[torch.randint(len(x), (batch,), generator=chance)])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                model.down.copy_(F.normalize(model.down, dim=1))
    except KeyboardInterrupt:
        pass
    return model.requires_grad_(False)
