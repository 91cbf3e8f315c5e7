"""What the machine view shows: a tile for each part of a model, lit by what it adds.

A text is read once, with some parts switched off or taken from another text. Each part,
a head or an MLP, has a tile: what it adds directly to the logit of the token in view.
All tiles, the embedding and the biases add up to that logit. It works with any model that
`inside` reads, and needs no picture. Lesson 05 uses it first; built in lesson 13.

T position, C channels, H heads, V vocabulary, L layers, M neurons.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from course_lib import inside, patching
from course_lib.inside import Part, Reading

MOST_FIRING = 5  # neurons that are named for each MLP


@dataclass(frozen=True)
class View:
    """A text as a model read it, and what each part adds to the logit of one token."""

    reading: Reading
    token: int  # the token in view
    against: int | None  # the token that it is compared with, if any
    heads: torch.Tensor  # what each head adds (L, H), float64
    mlps: torch.Tensor  # what each MLP adds (L), float64
    embedding: float
    biases: float  # what belongs to no part
    last: torch.Tensor  # the logits at the last position (V)
    lens: torch.Tensor  # the logit lens: probabilities after each layer (L+1, V)
    patterns: torch.Tensor  # where each head looks (L, H, T, T)
    firing: torch.Tensor  # the neurons that fire most at the end: numbers (L, 5)
    fires: torch.Tensor  # how strongly they fire (L, 5)
    brings: torch.Tensor  # what each of them adds to the logit (L, 5)
    leaders: torch.Tensor  # each MLP's neuron that adds or takes away most (L)
    leads: torch.Tensor  # what that one adds (L)

    @property
    def logit(self) -> float:
        """The logit in view: that of the token, less that of `against`."""
        less = 0.0 if self.against is None else float(self.last[self.against])
        return float(self.last[self.token]) - less

    @property
    def total(self) -> float:
        """All tiles, the embedding and the biases: the logit, up to rounding."""
        return float(self.heads.sum() + self.mlps.sum()) + self.embedding + self.biases

    @property
    def probability(self) -> float:
        """That of the token in view."""
        return float(self.last.double().softmax(-1)[self.token])

    def adds(self, part: Part) -> float:
        """What a part adds to the logit in view."""
        layer, kind = part
        return float(self.mlps[layer] if kind == "mlp" else self.heads[layer, kind])

    def best(self, count: int = 5) -> list[int]:
        """The likeliest next tokens, best first."""
        return self.last.topk(min(count, len(self.last))).indices.tolist()

    def strongest(self, count: int = 3, but: Iterable[Part] = ()) -> list[Part]:
        """The parts that add or take away most, without those in `but`."""
        layers, heads = self.heads.shape
        kinds = [*range(heads), "mlp"]
        parts = [(layer, kind) for layer in range(layers) for kind in kinds]
        out = set(but)
        left = [part for part in parts if part not in out]
        return sorted(left, key=lambda part: -abs(self.adds(part)))[:count]


@torch.no_grad()
def take_apart(
    model: nn.Module,
    ids: list[int],
    changes: dict[Part, Callable] | None = None,
    token: int | None = None,
    against: int | None = None,
) -> View:
    """Read a text (T ids) with some parts changed, and take its last logit apart.

    changes: as in `patching.changed`, with `patching.off` or `patching.taken_from`.
    token: whose logit is in view; without it, the likeliest. Raises ValueError for a part
    that the model lacks, and for texts that it can't read.
    """
    blocks = model.blocks
    attentions, downs = [b.attention for b in blocks], [b.mlp.down for b in blocks]
    with (
        patching.changed(model, changes or {}),
        inside.inputs_of(attentions) as heard,
        inside.inputs_of(downs) as fired,
    ):
        reading = inside.read(model, ids)
    patterns = [a.pattern(*given)[0] for a, given in zip(attentions, heard)]
    logits = model.unembed(reading.stream[:, -1])  # (L+1, V)
    last = logits[-1]
    token = int(last.argmax()) if token is None else token
    added = inside.attribution(reading, token, against)
    layers = range(len(blocks))
    heads = range(patterns[0].shape[0])
    slope, _ = inside.direction(reading, token, against)
    firing, fires, brings, leaders, leads = [], [], [], [], []
    for down, given in zip(downs, fired):
        now = given[0][0, -1].double()  # (M)
        most = now.abs().topk(min(MOST_FIRING, len(now))).indices
        firing.append(most)
        fires.append(now[most])
        each = now * (down.weight.double().T @ slope)  # (M)
        brings.append(each[most])
        leaders.append(each.abs().argmax())
        leads.append(each[leaders[-1]])
    return View(
        reading=reading,
        token=token,
        against=against,
        heads=torch.tensor([[added[n, h] for h in heads] for n in layers]).double(),
        mlps=torch.tensor([added[n, "mlp"] for n in layers]).double(),
        embedding=added["embedding"],
        biases=added["biases"],
        last=last.cpu(),
        lens=logits.softmax(-1).cpu(),
        patterns=torch.stack(patterns).cpu(),
        firing=torch.stack(firing).cpu(),
        fires=torch.stack(fires).cpu(),
        brings=torch.stack(brings).cpu(),
        leaders=torch.stack(leaders).cpu(),
        leads=torch.stack(leads).cpu(),
    )


def without(
    view: View, part: Part, changes: dict[Part, Callable] | None = None
) -> float:
    """The probability of the token in view if one more part were switched off.

    changes: those with which the view was made. Only the layers from that part on are
    computed again.
    """
    later = {p: change for p, change in (changes or {}).items() if p[0] >= part[0]}
    last = patching.with_changes(view.reading, later | {part: patching.off})
    return float(last.double().softmax(-1)[view.token])
