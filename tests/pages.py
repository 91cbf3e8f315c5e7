"""Small models of every kind that a page can run, saved as `train` saves them."""

import json
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from course_lib import pretrained, tokenizer
from course_lib.devices import generator
from course_lib.fast_gpt import FastGPT
from course_lib.gpt import GPT, GPTConfig

ODD = "Ĝis revido, naïve café — 東京 2024年！ 🙂👩‍👩‍👧 a\u0301\u00a0\u2028b\tc\r\n\n  x’s it's WE'LL 10²  "
TEXT = ODD * 3 + "One morning the cat sat on the mat, and then it sat on the dog. " * 20
KINDS = ("characters", "pieces", "fast", "fast pieces")


def saved(model: str | nn.Module, folder: Path, about: dict | None = None) -> Path:
    """The file of a model: one of KINDS, or a model with what is known of it."""
    if isinstance(model, str):
        model, encoding = of_kind(model)
        about = pretrained.about(model, encoding, {"text": "a test's text"})
    path = folder / "model.safetensors"
    weights = {name: one.detach() for name, one in model.named_parameters()}
    save_file(weights, path, {"about": json.dumps(about)})
    return path


def of_kind(name: str) -> tuple:
    """A model with random weights, large enough that its logits differ; its tokenizer."""
    if "pieces" in name:
        encoding = tokenizer.Tokenizer(tokenizer.train(TEXT, 330))
    else:
        encoding = tokenizer.Characters.train(TEXT)
    make = FastGPT if "fast" in name else GPT
    shape = GPTConfig(pretrained.vocabulary(encoding), 40, 3, 24, 3)
    model, chance = make(shape, generator=generator(0)), generator(1)
    for weight in model.parameters():
        weight.data.add_(
            0.3 * weight.data.new_empty(weight.shape).normal_(generator=chance)
        )
    return model.eval().requires_grad_(False), encoding
