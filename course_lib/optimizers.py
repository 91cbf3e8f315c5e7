"""Optimisers: AdamW, Muon, and weights laid together so that both are fast.

Built in lesson 08, which writes AdamW by hand and shows what Muon buys; torch's fused
AdamW is used here.

N weights of one shape, R rows, C columns.
Sources: Loshchilov & Hutter 2017 (AdamW); Jordan et al. 2024 (Muon).
"""

from dataclasses import dataclass

import torch
from torch import nn

from course_lib import distributed

COUNT = "step"  # what AdamW calls the number of its steps, one for a whole stack
BETAS = (0.9, 0.95)  # how long AdamW remembers gradients, and their squares


@dataclass
class Stack:
    """Weights of one shape, laid into one tensor (N, *shape)."""

    names: list[str]
    weights: nn.Parameter
    matrices: bool  # each of them is a matrix, not a vector
    inner: bool  # they belong to a block
    together: bool = True  # no: one weight by itself, spread over processes

    def each(self, values: torch.Tensor) -> list[torch.Tensor]:
        """One tensor for each name, from a tensor of this stack's shape."""
        return list(values) if self.together else [distributed.whole(values)]

    def join(self, values: list[torch.Tensor]) -> torch.Tensor:
        """A tensor of this stack's shape, where its weights are: `each` backwards."""
        if self.together:
            return torch.stack(values).to(self.weights.device)
        return distributed.spread_like(values[0], self.weights)


def learned(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that training changes, by name: a tied one once, a frozen one not."""
    return {name: w for name, w in model.named_parameters() if w.requires_grad}


def stacks(model: nn.Module) -> list[Stack]:
    """Lay a model's weights of one shape into one tensor each.

    The model's weights and gradients become slices of it. An optimiser then takes a few
    large steps instead of many small ones, and Muon turns all matrices of a shape at once.
    """
    kinds: dict[tuple, list[str]] = {}
    weights = learned(model)
    for name, weight in weights.items():
        kind = (weight.shape, weight.dtype, name.startswith("blocks."))
        kinds.setdefault(kind, []).append(name)
    found = []
    for (shape, _, inner), names in kinds.items():
        parts = [weights[name] for name in names]
        whole = nn.Parameter(torch.stack([part.detach() for part in parts]))
        whole.grad = torch.zeros_like(whole)
        for part, values, slopes in zip(parts, whole.detach(), whole.grad):
            part.data, part.grad = values, slopes
        found.append(Stack(names, whole, len(shape) == 2, inner))
    return found


def singles(model: nn.Module) -> list[Stack]:
    """Every weight by itself: for a model whose weights are spread over processes."""
    return [
        Stack([name], weight, weight.dim() == 2, name.startswith("blocks."), False)
        for name, weight in learned(model).items()
    ]


def optimizers(
    stacks: list[Stack], rate: float, decay: float, muon: float = 0.0
) -> list[torch.optim.Optimizer]:
    """AdamW for all weights; or Muon for the blocks' matrices, and AdamW for the rest.

    rate, muon: the two learning rates; muon 0 means none. Vectors (biases, norms) have no
    weight decay: pulling them to zero would take away scale, not noise. Raises ValueError
    if there is no whole matrix for Muon.
    """
    turned = [s.weights for s in stacks if muon and s.matrices and s.inner]
    rest = [s for s in stacks if not (muon and s.matrices and s.inner)]
    if muon and not (turned and all(s.together for s in stacks)):
        why = "are spread over processes" if turned else "are missing in this model"
        raise ValueError(
            f"Muon turns the matrices of model.blocks, which {why}: muon=0."
        )
    groups = [
        {"params": [s.weights for s in rest if s.matrices], "weight_decay": decay},
        {"params": [s.weights for s in rest if not s.matrices], "weight_decay": 0.0},
    ]
    found = [torch.optim.AdamW(groups, lr=rate, betas=BETAS, fused=True)]
    return [*found, Muon(turned, muon)] if turned else found


def state_of(stack: Stack, optimizers: list[torch.optim.Optimizer]) -> dict:
    """What the optimiser of this stack remembers of it: "kind" → values."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            if any(stack.weights is weights for weights in group["params"]):
                return optimizer.state[stack.weights]
    raise KeyError(stack.names[0])


def memory(
    stacks: list[Stack], optimizers: list[torch.optim.Optimizer]
) -> dict[str, torch.Tensor]:
    """What the optimisers remember, under each weight's name: "name.kind" → values."""
    found = {}
    for stack in stacks:
        for kind, values in state_of(stack, optimizers).items():
            is_count = kind == COUNT
            each = [values] * len(stack.names) if is_count else stack.each(values)
            found |= {f"{name}.{kind}": one for name, one in zip(stack.names, each)}
    return found


def remember(
    memory: dict[str, torch.Tensor],
    stacks: list[Stack],
    optimizers: list[torch.optim.Optimizer],
) -> None:
    """Give the optimisers back what `memory` gave, however the weights lie now."""
    for stack in stacks:
        state, first = state_of(stack, optimizers), f"{stack.names[0]}."
        for kind in [k.removeprefix(first) for k in memory if k.startswith(first)]:
            each = [memory[f"{name}.{kind}"] for name in stack.names]
            one = each[0].to(stack.weights.device, copy=True)
            state[kind] = one if kind == COUNT else stack.join(each)


class Muon(torch.optim.Optimizer):
    """Steps that are equally long in every direction, for stacks of matrices (N, R, C).

    A gradient's few strong directions drown its many weak ones. Muon averages gradients,
    makes all singular values of the average nearly 1, and steps along that (Jordan et al.
    2024). Tall matrices take longer steps, for an output is moved by C inputs only.
    """

    def __init__(self, weights: list[nn.Parameter], lr: float, momentum: float = 0.95):
        super().__init__(weights, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        """One step, with the gradients that are there."""
        for group in self.param_groups:
            for weights in group["params"]:
                state, slope = self.state[weights], weights.grad
                if not state:
                    state["average"] = torch.zeros_like(weights)
                average = state["average"].lerp_(slope, 1 - group["momentum"])
                ahead = slope.lerp(average, group["momentum"])  # Nesterov's look ahead
                rows, columns = weights.shape[-2:]
                length = group["lr"] * max(1, rows / columns) ** 0.5
                weights.sub_(orthogonal(ahead), alpha=length)


def orthogonal(matrices: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """Matrices (N, R, C) with the same directions and singular values near 1.

    Each round applies a polynomial to the singular values, whose three numbers Jordan et
    al. (2024) chose so that all of (0, 1] moves towards 1 fast: what began above 0.002 is
    between 0.68 and 1.21 after five. Products of matrices suit every device; a singular
    value decomposition doesn't.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # no singular value above 1
    for _ in range(rounds):
        square = x @ x.mT  # (N, R, R)
        mixed = torch.baddbmm(square, square, square, beta=-4.7750, alpha=2.0315)
        x = torch.baddbmm(x, mixed, x, beta=3.4445)
    return x.mT if tall else x
