"""Verdicts on synthetic tables of known truth: how often each is right."""

import numpy as np
import pandas as pd
import pytest

from recon.figures import claims
from recon.figures.claims import rules
from recon.figures.claims.rules import interval, judged

VOLUMES, FAMILY, REPEATS = 8, 8, 200


def claim(gains, above=True, threshold=0.0):
    """A claim about gains of shape (R, volume)."""
    rows = [
        {"dataset": "knee", "volume": str(v), "R": float(r + 1), "gain": gain}
        for r, line in enumerate(gains)
        for v, gain in enumerate(line)
    ]
    words = claims.about("1", "x", "a claim")
    rule = claims.smallest_gain if above else claims.largest_gain
    return rule(pd.DataFrame(rows), words, threshold)


@pytest.mark.parametrize(
    ("means", "holds"),
    [((1.0, 1.2, 0.9), True), ((1.0, -1.0, 0.9), False), ((1.0, 0.02, 0.9), None)],
)
def test_known_truth_is_found(means, holds):
    """A difference of three standard deviations at every R holds; one bad R breaks the claim."""
    noise = np.tile(np.linspace(-0.4, 0.4, VOLUMES), (3, 1))
    line = claim(np.array(means)[:, None] + noise).judged()
    assert line["holds"] is holds and line["low"] < line["measured"] < line["high"]
    below = claim(-(np.array(means)[:, None] + noise), above=False).judged()
    assert below["holds"] is holds and below["measured"] == pytest.approx(-line["measured"])


@pytest.mark.parametrize("heavy", [False, True])
def test_pure_noise_decides_a_family_in_one_of_twenty(heavy):
    """Where all true gains are zero, a claim that holds or fails is a false one.

    The level is that of the family: at most 5 % of families have a false verdict. With three R a
    claim that holds is rarer still. Heavy tails do not change this.
    """
    generator, wrong = np.random.default_rng(1), 0
    for _ in range(REPEATS):
        shape = (FAMILY, 1, VOLUMES)
        draws = generator.standard_t(4, shape) if heavy else generator.standard_normal(shape)
        wrong += any(line["holds"] is not None for line in judged([claim(d) for d in draws]))
    assert wrong / REPEATS < 0.05 + 3 * (0.05 * 0.95 / REPEATS) ** 0.5


def test_a_percentile_bootstrap_would_be_too_narrow():
    """With eight volumes its interval of 95 % misses the mean in about one of ten tables."""
    generator, missed, ours = np.random.default_rng(2), 0, 0
    for _ in range(1000):
        values = generator.standard_normal(VOLUMES)
        means = generator.choice(values, (1000, VOLUMES)).mean(1)
        low, high = np.quantile(means, (0.025, 0.975))
        missed += not low < 0 < high
        low, high = interval(pd.Series(values), 0.05)
        ours += not low < 0 < high
    assert 0.08 < missed / 1000 < 0.14 and 0.03 < ours / 1000 < 0.07


def test_a_larger_family_needs_more_evidence():
    noise = np.linspace(-0.4, 0.4, VOLUMES)[None]
    gains = claim(0.4 + noise)
    alone, many = gains.judged(1), gains.judged(1000)
    assert alone["holds"] is True and many["holds"] is None
    assert many["low"] < alone["low"] and many["high"] > alone["high"]


def test_a_growing_gain_is_paired_by_volume():
    """Volumes differ by far more than their growth, which is 1 for each."""
    gains = pd.DataFrame(
        {"dataset": "k", "volume": str(v), "R": r, "gain": 10.0 * v + r / 4 + 0.01 * (v % 2)}
        for v in range(4)
        for r in (4.0, 8.0)
    )
    words = claims.about("1", "x", "a claim")
    line = claims.growing_gain(gains, words).judged()
    assert line["measured"] == pytest.approx(1) and line["holds"] and line["volumes"] == 4
    only = claims.growing_gain(gains[gains["R"] == 4], words).judged()
    assert only["measured"] is None and only["holds"] is None


def test_slices_of_one_subject_are_no_several_subjects():
    """Their mean counts once; two subjects are two volumes, however many slices they have."""
    names = ["200@24", "200@40", "201@24", "201@40", "201:3"]
    gains = pd.DataFrame(
        {"dataset": "a", "volume": names, "R": 8.0, "gain": [1.0, 3.0, 2.0, 6.0, 1.0]}
    )
    found = rules.by_subject(gains)
    assert found["volume"].tolist() == ["200", "201"] and found["gain"].tolist() == [2.0, 3.0]
    line = rules.smallest_gain(gains, rules.about("2", "a", "said", "B")).judged()
    assert line["volumes"] == 2 and line["measured"] == pytest.approx(2.5)
    scans = ["patient04_study1_T1W@14", "patient04_study1_FLAIR@9", "patient04_study2_T2W"]
    person = pd.DataFrame({"dataset": "a", "volume": scans, "R": 8.0, "gain": 1.0})
    assert rules.by_subject(person)["volume"].tolist() == ["patient04"]
