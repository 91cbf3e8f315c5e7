"""Clusters on paper: formulas beside what papers print, counts, and chance itself."""

import math
import random

import pytest
import torch

from course_lib import clusters, distributed, scales, sizing
from course_lib.gpt import GPT3, GPTConfig

H100 = clusters.CHIPS["H100"]


# What others have published ----------------------------------------------------------


def test_palm_uses_what_its_paper_says():
    """Chowdhery et al. 2022, section 4.1 and table 3: 46.2 % with attention, 45.7 without."""
    shape, peak = (118, 48 * 256, 2_048), 6_144 * 275e12
    assert round(clusters.mfu(238_300, 540.35e9, *shape, peak), 3) == 0.462
    assert round(clusters.mfu(238_300, 540.35e9, 0, 0, 0, peak), 3) == 0.457


def test_megatrons_days():
    """Narayanan et al. 2021, section 5.1: 34 and 84 days, at 8 operations a weight."""
    assert round(clusters.days(8 * 175e9 * 300e9, 1_024 * 140e12)) == 34
    assert round(clusters.days(8 * 1_008e9 * 450e9, 3_072 * 163e12)) == 84


def test_peaks_are_those_of_the_dial_of_sizes():
    for name, peak in scales.PEAK.items():
        assert clusters.CHIPS[name.upper()].peak == peak


# Counted another way -----------------------------------------------------------------


def test_operations_of_attention_are_those_that_lesson_06_counts():
    """mfu counts what forward_operations does, three times, but for the lookup."""
    shape = GPTConfig(500, 64, 3, 48, 4)
    weights = sum(sizing.eight_rows(shape).values()) - 500 * 48
    each = 3 * sizing.forward_operations(shape, 64)["products"] / 64
    assert clusters.mfu(1, weights, 3, 48, 64, each) == pytest.approx(1)


def test_a_step_takes_a_share_of_the_peak():
    seconds = clusters.step_seconds(1e9, 1e6, 10, 1e14, 0.5)
    assert clusters.mfu(1e6 / seconds, 1e9, 0, 0, 0, 10 * 1e14) == pytest.approx(0.5)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_rings_seconds_are_its_bytes(count):
    sent = [0] * count

    def send(rank, piece):
        sent[rank] += piece.numel()
        return piece

    distributed.ring_all_reduce(list(torch.ones(count, 3 * count)), send)
    assert set(sent) == {round(clusters.ring_seconds(3 * count, count, 1.0))}


@pytest.mark.parametrize("count", [2, 3, 4, 6])
def test_sums_of_a_ring_grow_until_all_are_whole(count):
    last = 2 * (count - 1)
    for step in range(last):
        sums, sends = clusters.ring_sums(count, step)
        # Nobody sends a piece that the next rank needs more than it has.
        assert sorted(sends) == list(range(count))
        assert max(map(max, sums)) == min(step + 1, count)
    assert clusters.ring_sums(count, count - 1)[0] != [[count] * count] * count
    for steps in (last, last + 5):
        assert clusters.ring_sums(count, steps) == ([[count] * count] * count, [])


@pytest.mark.parametrize(("stages", "parts"), [(1, 5), (4, 4), (12, 15)])
def test_a_bubble_is_the_empty_places_of_a_pipelines_plan(stages, parts):
    """Stage s works on part p in slot s + p."""
    slots = stages + parts - 1
    busy = {(s, s + p) for s in range(stages) for p in range(parts)}
    empty = stages * slots - len(busy)
    assert clusters.bubble(stages, parts) == pytest.approx(empty / (stages * slots))


def test_a_roof_bends_where_memory_and_arithmetic_meet():
    bend = H100.peak / H100.bandwidth
    half, twice = (
        clusters.roof(bend * by, H100.peak, H100.bandwidth) for by in (0.5, 2)
    )
    assert half == pytest.approx(H100.peak / 2) and twice == H100.peak


# Stops -------------------------------------------------------------------------------


def lived(every, cost, between, restart, pieces, seed) -> float:
    """Seconds for a second of training, by throwing dice: stops come at any time."""
    chance, clock = random.Random(seed), 0.0
    for _ in range(pieces):
        while (stop := chance.expovariate(1 / between)) < every + cost:
            clock += stop
            while (again := chance.expovariate(1 / between)) < restart:
                clock += again  # it stops while it restarts
            clock += restart
        clock += every + cost
    return clock / (pieces * every)


@pytest.mark.parametrize(
    "life", [(600, 30, 11_000, 600), (60, 30, 1_000, 0), (4_000, 100, 4_000, 300)]
)
def test_stops_cost_what_dice_say(life):
    """Here a restart may be stopped too; the formula gets its mean length."""
    found = sum(lived(*life, 20_000, seed) for seed in range(3)) / 3
    every, cost, between, restart = life
    expected = clusters.stretch(every, cost, between, _expected(restart, between))
    assert found == pytest.approx(expected, rel=0.02)


def _expected(restart, between):
    return between * math.expm1(restart / between)


def test_the_best_interval_loses_least():
    best = clusters.best_interval(30, 11_000)
    least = clusters.stretch(best, 30, 11_000, 600)
    tried = [clusters.stretch(best * f, 30, 11_000, 600) for f in (0.3, 0.5, 2, 3)]
    assert min(tried) > least + 0.005
    fine = [clusters.stretch(best * f / 50, 30, 11_000, 600) for f in range(25, 100)]
    assert least < min(fine) + 1e-3


def test_gpt3_fills_dozens_of_h100s():
    assert 30 < 16 * sizing.total(GPT3) / H100.memory < 40
