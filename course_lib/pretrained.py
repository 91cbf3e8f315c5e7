"""Load real models: take a file from the cache, convert it once, load it.

SmolLM2-135M-Instruct (Hugging Face, Apache-2.0) comes as a GGUF file of 4-bit weights.
It is turned into plain float32 once and kept as safetensors, which loads in a blink.
Lesson 00 uses it; lesson 11 opens it. Models that train.py saved are loaded here, too.
Of the stage: nobody has to type it.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from unittest.mock import patch

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from course_lib import checkpoints, files, tokenizer
from course_lib.errors import Problem
from course_lib.fast_gpt import FastGPT
from course_lib.files import cache, sources
from course_lib.gpt import GPT, GPTConfig
from course_lib.llama import SMOLLM2_135M, Llama, LlamaConfig

MODELS = {"gpt": GPT, "fast": FastGPT}  # what a checkpoint's "kind" means
ENCODINGS = {"gpt2": tokenizer.gpt2, "smollm2": tokenizer.smollm2}
CONVERTED = "smollm2-135m-instruct.f32.safetensors"
# The GGUF file's names for our tensors.
NAMES = {
    "attn_norm": "attention_norm",
    "attn_q": "attention.query",
    "attn_k": "attention.key",
    "attn_v": "attention.value",
    "attn_output": "attention.output",
    "ffn_norm": "mlp_norm",
    "ffn_gate": "mlp.gate",
    "ffn_up": "mlp.up",
    "ffn_down": "mlp.down",
    "token_embd": "embedding",
    "output_norm": "norm",
}


def smollm2(device: torch.device | str = "cpu") -> tuple[Llama, tokenizer.Encoding]:
    """The real LLM, in float32, and its tokenizer.

    The first call fetches 93 MB and converts them (about 10 s); later ones take under
    two seconds. Raises Problem if there is neither a cache nor a network.
    """
    tensors = load_file(converted(), device=str(device))
    # Drawing random numbers for a "meta" tensor makes torch import sympy: 1.5 s for
    # nothing, as all weights come from the file.
    no_start = patch.object(torch.nn.Embedding, "reset_parameters", lambda self: None)
    with torch.device("meta"), no_start:
        model = Llama(SMOLLM2_135M)  # shapes only: the weights come from the file
    model.load_state_dict(tensors, assign=True)
    return model.eval().requires_grad_(False), tokenizer.smollm2()


def smollm2_file() -> Path:
    """The path of the real LLM's own file, a GGUF of 4-bit weights, fetched and verified."""
    return cache.checked(sources.SMOLLM2)


def converted() -> Path:
    """The path of the converted weights, made from the GGUF file if not there whole."""
    return cache.made(CONVERTED, convert)


def convert(path: Path) -> None:
    """Write the real LLM's weights to `path` as float32 safetensors: about 10 s."""
    save_file(read_gguf(smollm2_file()), path)


def read_gguf(path: Path, config: LlamaConfig = SMOLLM2_135M) -> dict:
    """All weights of a Llama GGUF file as float32, under our names."""
    from gguf import GGUFReader, dequantize  # seldom needed

    tensors = {}
    found = GGUFReader(path).tensors
    for stored in tqdm(found, desc="converting the model, once", delay=2):
        weight = torch.from_numpy(dequantize(stored.data, stored.tensor_type).copy())
        *block, part, _ = stored.name.split(".")
        if part in ("attn_q", "attn_k"):
            weight = unpermute(weight, config.head_size)
        where = f"blocks.{block[1]}." if block else ""
        tensors[f"{where}{NAMES[part]}.weight"] = weight
    return tensors


def unpermute(weight: torch.Tensor, head_size: int) -> torch.Tensor:
    """Undo GGUF's order of query and key rows: (H·D, C) → (H·D, C).

    GGUF puts the two channels of a rotary pair side by side; llama.py keeps them half
    a head apart, as the model was trained.
    """
    pairs = weight.reshape(-1, head_size // 2, 2, weight.shape[-1])  # (H, D/2, 2, C)
    return pairs.transpose(1, 2).reshape(weight.shape)


# GPT-2 ------------------------------------------------------------------------------

# Hugging Face's names for a layer's tensors, and ours; c_attn is three of ours in one.
GPT2_NAMES = {
    "ln_1": "attention_norm",
    "attn.c_proj": "attention.output",
    "ln_2": "mlp_norm",
    "mlp.c_fc": "mlp.up",
    "mlp.c_proj": "mlp.down",
}


def gpt2(
    source: Path | str = "openai-community/gpt2",
    model_class: Callable = GPT,
    heads: int | None = None,
) -> GPT:
    """A GPT-2 from a safetensors file in Hugging Face's layout, or from the hub by name.

    Any model class that is built as ours is will do: a learner's own, for instance. heads
    is needed for shapes that are not GPT-2's, whose heads have 64 channels. Raises
    ValueError if the file holds something else, Problem if the hub can't be
    reached.
    """
    path = files.path(source)
    if not path.is_file():
        path = cache.from_hub(str(source), "model.safetensors")
    tensors = read_gpt2(path)
    config = gpt2_config(tensors, heads)
    with torch.device("meta"):
        model = model_class(config)
    try:
        model.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        which = str(error).strip().splitlines()[-1].strip()
        raise ValueError(f"{path} does not fit a GPT-2 of its size: {which}") from None
    model.unembedding.weight = model.embedding.weight  # tied: one tensor, used twice
    return model.eval().requires_grad_(False)


def gpt2_config(tensors: dict, heads: int | None = None) -> GPTConfig:
    """The five numbers, read off the shapes of a GPT-2's tensors."""
    vocabulary, channels = tensors["embedding.weight"].shape
    context = len(tensors["position.weight"])
    layers = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
    if heads is None and channels % 64:
        raise ValueError(
            f"{channels} channels are not GPT-2's heads of 64: say how many, heads=…."
        )
    return GPTConfig(vocabulary, context, layers, channels, heads or channels // 64)


def read_gpt2(path: Path) -> dict:
    """All weights of a GPT-2 file in Hugging Face's layout, under our names.

    It stores a linear layer's matrix the other way round (in × out), and query, key and
    value side by side in one. Raises ValueError if a tensor is missing.
    """
    try:
        stored = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error}).") from None
    stored = {name.removeprefix("transformer."): w for name, w in stored.items()}
    numbers = [int(name.split(".")[1]) for name in stored if name.startswith("h.")]
    layers = max(numbers, default=-1) + 1
    try:
        tensors = {
            "embedding.weight": stored["wte.weight"],
            "unembedding.weight": stored["wte.weight"],
            "position.weight": stored["wpe.weight"],
            "norm.weight": stored["ln_f.weight"],
            "norm.bias": stored["ln_f.bias"],
        }
        for layer in range(layers):
            tensors |= _gpt2_layer(stored, f"h.{layer}", f"blocks.{layer}")
    except KeyError as error:
        raise ValueError(
            f"{path} has no tensor {error}: it is not a GPT-2 in Hugging Face's layout."
        ) from None
    return tensors


def _gpt2_layer(stored: dict, old: str, new: str) -> dict:
    tensors = {}
    for kind in ("weight", "bias"):
        for theirs, ours in GPT2_NAMES.items():
            tensors[f"{new}.{ours}.{kind}"] = _turned(stored[f"{old}.{theirs}.{kind}"])
        three = _turned(stored[f"{old}.attn.c_attn.{kind}"]).chunk(3)
        for name, tensor in zip(("query", "key", "value"), three):
            tensors[f"{new}.attention.{name}.{kind}"] = tensor.contiguous()
    return tensors


def _turned(weight: torch.Tensor) -> torch.Tensor:
    """A matrix the other way round: (in, out) → (out, in); a vector as it is."""
    return weight.T.contiguous() if weight.dim() == 2 else weight


# The course's own checkpoints --------------------------------------------------------


def trained(path: Path | str, at: torch.device | str = "cpu") -> tuple:
    """A model that train.py saved: (model, tokenizer, what is known of it), ready to write.

    path: a run's folder (its newest checkpoint), a checkpoint's, or a .safetensors file.
    Raises Problem for a file that is missing, damaged, or no such model.
    """
    weights, known = checkpoints.read(files.path(path))
    if known.get("kind", "other") == "other":
        raise Problem(f"{path} {strange(known)}")
    try:
        model = MODELS[known["kind"]](GPTConfig(**known["shape"]))
        encoding = encoding_of(known)
    except (KeyError, TypeError, AttributeError) as error:
        raise Problem(
            f"{path} does not say what it is a model of: was it saved by this course?"
        ) from error
    checkpoints.fit(model, weights, str(path))
    return model.to(at).eval().requires_grad_(False), encoding, known


def strange(known: dict) -> str:
    """Why a model can't be made from what is known of it, and what to do."""
    load = "checkpoints.fit(model, checkpoints.read(path)[0], path)"
    if known:
        return (
            "holds the weights of a class that is not this course's own: load them in "
            f"the notebook that makes such a model, by {load}."
        )
    return (
        "holds weights, and not what they are weights of. If a notebook of yours trained "
        "them, let it say so next time: train(…, about=pretrained.about(model, tokenizer, "
        f"{{}})). In that notebook they load by {load}."
    )


def tinyworld() -> tuple:
    """A GPT of 4 layers that tells TinyWorld's stories, and its tokenizer: `trained`.

    It comes with the course; assets/README.md has the command that made it.
    """
    return trained(Path(__file__).parents[1] / "assets" / "tinyworld.safetensors")


def about(model: torch.nn.Module, encoding, facts: dict) -> dict:
    """What `trained` must know besides the weights, as JSON can hold it."""
    kind = next((name for name, one in MODELS.items() if type(model) is one), "other")
    known = {"kind": kind, "shape": asdict(model.config), **facts}
    if isinstance(encoding, tokenizer.Characters):
        return known | {"characters": encoding.symbols}
    if isinstance(encoding, tokenizer.Tokenizer):
        # JSON has no bytes; in latin-1 each byte is one character.
        tokens = sorted(encoding.ranks, key=encoding.ranks.get)
        known |= {"tokens": [token.decode("latin-1") for token in tokens]}
        return known | {"split": encoding.pattern, "special": encoding.special_tokens}
    return known | {"encoding": encoding.name}


def encoding_of(
    known: dict,
) -> tokenizer.Characters | tokenizer.Tokenizer | tokenizer.Encoding:
    """The tokenizer that `about` wrote down.

    Raises Problem if it wrote none, Problem.
    """
    if "characters" in known:
        return tokenizer.Characters(known["characters"])
    if "tokens" in known:
        tokens = [token.encode("latin-1") for token in known["tokens"]]
        ranks = {token: id for id, token in enumerate(tokens)}
        pattern = known.get("split", tokenizer.GPT2_SPLIT)
        return tokenizer.Tokenizer(ranks, pattern, known.get("special"))
    if known.get("encoding") not in ENCODINGS:
        raise Problem(
            "The checkpoint does not say which tokenizer its ids are from: the command "
            "`train` notes it, and in a notebook train(…, about=pretrained.about(model, "
            "tokenizer, {}))."
        )
    return ENCODINGS[known["encoding"]]()


def vocabulary(encoding) -> int:
    """How many ids a tokenizer has."""
    if isinstance(encoding, tokenizer.Characters):
        return encoding.vocabulary
    is_ours = isinstance(encoding, tokenizer.Tokenizer)
    return len(encoding.tokens) if is_ours else encoding.n_vocab


def parameters(model: torch.nn.Module) -> int:
    """How many weights a model has; a tensor used twice counts once."""
    return sum(weight.numel() for weight in model.parameters())
