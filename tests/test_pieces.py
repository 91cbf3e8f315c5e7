"""Patches and chunks beside torch's own unfold and fold, and back again."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from course_lib import devices, pieces


def some(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=devices.generator(0))


@pytest.mark.parametrize(
    ("rows", "columns", "size"), [(6, 6, 3), (4, 8, 2), (5, 10, 5)]
)
def test_patches_are_torchs_and_come_back_exactly(rows, columns, size):
    images = some(3, rows, columns)
    patches = pieces.patchify(images, size)
    theirs = F.unfold(images[:, None], size, stride=size).transpose(1, 2)
    assert torch.equal(patches, theirs)
    assert torch.equal(pieces.unpatchify(patches, columns), images)


def test_a_rest_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="choose a size that divides both"):
        pieces.patchify(some(1, 6, 4), 3)


@pytest.mark.parametrize(("size", "step"), [(4, 4), (6, 2), (5, 1), (7, 3)])
def test_chunks_come_back_and_overlaps_are_means(size, step):
    wave = some((6 - 1) * step + size)
    cut = pieces.chunks(wave, size, step)
    assert cut.shape == (6, size)
    assert torch.allclose(pieces.from_chunks(cut, step), wave, atol=1e-6)
    parts = some(6, size)
    fold = {
        "output_size": (1, len(wave)),
        "kernel_size": (1, size),
        "stride": (1, step),
    }
    total, times = (
        F.fold(one.T[None], **fold).flatten() for one in (parts, cut * 0 + 1)
    )
    assert torch.allclose(pieces.from_chunks(parts, step), total / times, atol=1e-6)


def test_a_pure_tone_is_one_bright_pitch():
    time = np.arange(1_600) / 1_600
    wave = torch.tensor(np.sin(2 * np.pi * 200 * time), dtype=torch.float32)
    loud = pieces.pitches(pieces.chunks(wave, 160, 160))
    assert loud.shape == (81, 10) and loud.min() >= 0 and loud.max() <= 1
    assert (loud.argmax(0) == 20).all()  # 200 Hz, in steps of 10
    assert loud[:17].max() == loud[24:].max() == 0  # silence elsewhere


def test_order_matters_counts_names():
    patches = torch.arange(12.0).view(2, 3, 2)
    order = torch.tensor([1, 2, 0])
    names = lambda p: (p[:, 0, 0] > 5).long()  # noqa: E731
    assert pieces.order_matters(names, patches, order) == 0.0
    assert pieces.order_matters(lambda p: p[:, 0, 0].long(), patches, order) == 1.0
    assert (
        pieces.order_matters(lambda p: (p[:, 0, 0] > 1).long(), patches, order) == 0.5
    )
