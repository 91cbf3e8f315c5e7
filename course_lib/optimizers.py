"""Optimisers: AdamW for all weights, or Muon for matrices and AdamW for the rest.

Built in lesson 08, which writes AdamW by hand and shows what Muon buys; torch's fused
AdamW is used here.

N weights of one shape, R rows, C columns.
Sources: Loshchilov & Hutter 2017 (AdamW); Jordan et al. 2024 (Muon).
"""

import torch
from torch import nn

from course_lib import distributed
from course_lib.distributed import shard_like

ADAMW, MUON = ("step", "exp_avg", "exp_avg_sq"), ("average",)  # kinds of their state
BETAS = (0.9, 0.95)  # how long AdamW remembers gradients, and their squares


def learned(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that training changes, by name: a tied one once, a frozen one not."""
    return {name: w for name, w in model.named_parameters() if w.requires_grad}


def optimizers(
    weights: dict[str, nn.Parameter], rate: float, decay: float, muon: float = 0.0
) -> list[torch.optim.Optimizer]:
    """AdamW for all weights; or Muon for the blocks' matrices, and AdamW for the rest.

    weights: those to change, by name, as `learned` gives them. rate, muon: the two learning rates; muon 0 means none. Vectors (biases, norms) have no
    weight decay: pulling them to zero would take away scale, not noise. Raises ValueError
    if there is no whole matrix for Muon.
    """
    inner = [w for n, w in weights.items() if w.dim() == 2 and n.startswith("blocks.")]
    turned = inner if muon else []
    if muon and (not turned or any(map(distributed.is_sharded, turned))):
        why = "are spread over processes" if turned else "are missing in this model"
        raise ValueError(
            f"Muon turns the matrices of model.blocks, which {why}: muon=0."
        )
    rest = [w for w in weights.values() if not any(w is one for one in turned)]
    groups = [
        {"params": [w for w in rest if w.dim() == 2], "weight_decay": decay},
        {"params": [w for w in rest if w.dim() != 2], "weight_decay": 0.0},
    ]
    found = [torch.optim.AdamW(groups, lr=rate, betas=BETAS, fused=True)]
    return [*found, Muon(turned, muon)] if turned else found


def state_dict(
    weights: dict[str, nn.Parameter], optimizers: list[torch.optim.Optimizer]
) -> dict[str, torch.Tensor]:
    """The optimisers' state, under each weight's name: "name.kind" → values, whole."""
    names = {weight: name for name, weight in weights.items()}
    return {
        f"{names[weight]}.{kind}": distributed.full_tensor(values)
        for optimizer in optimizers
        for weight, state in optimizer.state.items()
        for kind, values in state.items()
    }


def load_state_dict(
    state: dict[str, torch.Tensor],
    weights: dict[str, nn.Parameter],
    optimizers: list[torch.optim.Optimizer],
) -> None:
    """Give the optimisers back what `state_dict` gave, spread as the weights are now.

    Raises ValueError for the state of other weights, or of other optimisers.
    """
    check_state(state, weights, optimizers)
    names = {weight: name for name, weight in weights.items()}
    for optimizer in optimizers:
        for weight in [w for group in optimizer.param_groups for w in group["params"]]:
            first = f"{names[weight]}."
            for key in [key for key in state if key.startswith(first)]:
                one, at = state[key], weight.device
                whole = one.shape != weight.shape  # the count of AdamW's steps
                here = one.to(at, copy=True) if whole else shard_like(one, weight)
                optimizer.state[weight][key.removeprefix(first)] = here


def check_state(
    state: dict[str, torch.Tensor],
    weights: dict[str, nn.Parameter],
    optimizers: list[torch.optim.Optimizer],
) -> None:
    """Raise ValueError unless a state is of these optimisers' weights, kind by kind."""
    names, known = {weight: name for name, weight in weights.items()}, set()
    for optimizer in optimizers:
        kinds = MUON if isinstance(optimizer, Muon) else ADAMW
        for weight in [w for group in optimizer.param_groups for w in group["params"]]:
            wanted = {f"{names[weight]}.{kind}" for kind in kinds}
            known |= wanted
            there = wanted & set(state)  # none: a weight that nothing has moved yet
            shapes = {state[key].shape for key in there if not key.endswith(".step")}
            if there not in (wanted, set()) or shapes - {weight.shape}:
                raise ValueError(f"the optimiser's state of {names[weight]}")
    if set(state) - known:
        raise ValueError("the optimiser's state is of other weights")


class Muon(torch.optim.Optimizer):
    """Steps that are equally long in every direction, for matrices (R, C).

    A gradient's few strong directions drown its many weak ones. Muon averages gradients,
    makes all singular values of the average nearly 1, and steps along that (Jordan et al.
    2024). Tall matrices take longer steps, for an output is moved by C inputs only.
    """

    def __init__(self, weights: list[nn.Parameter], lr: float, momentum: float = 0.95):
        super().__init__(weights, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        """One step with the gradients that are there: all matrices of a shape at once."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[nn.Parameter]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    shapes.setdefault(weight.shape, []).append(weight)
            for (rows, columns), weights in shapes.items():
                length = group["lr"] * max(1, rows / columns) ** 0.5
                directions = orthogonal(self.ahead(weights, group["momentum"]))
                for weight, direction in zip(weights, directions):
                    weight.sub_(direction, alpha=length)

    def ahead(self, weights: list[nn.Parameter], momentum: float) -> torch.Tensor:
        """The gradients (N, R, C) seen one step ahead, after Nesterov; averages move."""
        found = []
        for weight in weights:
            state = self.state[weight]
            if not state:
                state["average"] = torch.zeros_like(weight)
            average = state["average"].lerp_(weight.grad, 1 - momentum)
            found.append(weight.grad.lerp(average, momentum))
        return torch.stack(found)


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
