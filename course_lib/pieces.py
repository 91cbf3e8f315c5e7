"""Images in patches, sounds in chunks, and both put together again.

Built in lesson 15: the tokens of `multimodal`'s models, where there are no words.

B batch, S patches or chunks, P numbers in one of them, F pitches.
Source: Dosovitskiy et al. 2020, section 3.1 (patches).
"""

import math
from collections.abc import Callable

import torch

QUIET = 36  # decibels below the loudest: silence

# Images -------------------------------------------------------------------------------


def patchify(images: torch.Tensor, size: int) -> torch.Tensor:
    """Cut images into square patches: (B, N, M) → (B, S, P), P = size².

    Patches in the order of reading, and the pixels in each. Raises ValueError if they
    don't come out even.
    """
    count, rows, columns = images.shape
    if rows % size or columns % size:
        raise ValueError(
            f"Images of {rows} × {columns} can't be cut into patches of {size} × {size} "
            "without a rest: choose a size that divides both."
        )
    parts = images.reshape(count, rows // size, size, columns // size, size)
    return parts.transpose(2, 3).reshape(count, -1, size * size)


def unpatchify(patches: torch.Tensor, columns: int) -> torch.Tensor:
    """Put patches together again, to images so many pixels wide: (B, S, P) → (B, N, M)."""
    count, number, numbers = patches.shape
    size = math.isqrt(numbers)
    across = columns // size
    parts = patches.reshape(count, number // across, across, size, size)
    return parts.transpose(2, 3).reshape(count, -1, columns)


def order_matters(
    name: Callable[[torch.Tensor], torch.Tensor],
    patches: torch.Tensor,
    order: torch.Tensor,
) -> float:
    """The share of images whose name changes when their patches change places.

    name maps patches (B, S, P) to names (B). order (S): which patch comes where.
    """
    return float((name(patches) != name(patches[:, order])).float().mean())


# Sounds ---------------------------------------------------------------------------------


def chunks(wave: torch.Tensor, size: int, step: int) -> torch.Tensor:
    """Cut sounds (…, samples) into chunks of `size` that begin every `step`: (…, S, P)."""
    return wave.unfold(-1, size, step)


def from_chunks(chunks: torch.Tensor, step: int) -> torch.Tensor:
    """Put a sound together from chunks (S, P) that begin every `step` samples.

    Where several lie over each other, their mean is taken.
    """
    count, size = chunks.shape
    total = torch.zeros((count - 1) * step + size)
    times = torch.zeros_like(total)
    for i, chunk in enumerate(chunks):
        total[i * step : i * step + size] += chunk
        times[i * step : i * step + size] += 1
    return total / times


def pitches(chunks: torch.Tensor) -> torch.Tensor:
    """How loud each pitch is in each chunk: (…, S, P) → (…, F, S), from 0 to 1.

    Row f is the pitch that fits f times into a chunk. This is a spectrogram.
    """
    window = torch.hann_window(chunks.shape[-1])  # fades a chunk in and out
    loud = torch.fft.rfft(chunks * window).abs().transpose(-2, -1)  # (…, F, S)
    decibels = 20 * (loud / loud.max() + 1e-4).log10()  # 0 is the loudest
    return (1 + decibels / QUIET).clamp(0, 1)
