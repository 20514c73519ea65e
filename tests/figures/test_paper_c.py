"""Paper C's claims, and the charts of its notebooks."""

import pandas as pd
import pytest
from scipy.stats import ttest_ind

from recon import figures
from recon.figures import claims
from recon.figures.claims.rules import interval


def table(dataset="regular", by="method", **scores: float) -> pd.DataFrame:
    """Three volumes at R = 4 with the PSNR of each method, and a little spread."""
    rows = [
        {"dataset": dataset, "volume": 200 + n, "R": 4.0, by: name, "psnr": score + 0.01 * n}
        for name, score in scores.items()
        for n in range(3)
    ]
    return pd.DataFrame(rows).assign(ssim=lambda t: t["psnr"] / 50)


def found(name: str, rows: pd.DataFrame) -> dict[str, dict]:
    return {c["id"]: c for c in claims.scorecard(name, rows)}


def test_r3dm_against_each_baseline():
    rows = table(r3dm=30.0, modl=31.0, grappa=20.0, l1_wavelet=29.0)
    decided = found("30_in_distribution", rows)
    assert decided["C.30.regular.r3dm>grappa.psnr"]["holds"] is True
    assert decided["C.30.regular.r3dm>modl.ssim"]["holds"] is False
    assert decided["ours.30.regular.r3dm>l1_wavelet.psnr"]["measured"] == pytest.approx(1.0)
    assert decided["C.30.regular.r3dm>fastmri_unet.psnr"]["holds"] is None


def test_who_falls_further_away_from_home():
    """MoDL leads at home by 1 and trails away by 2, so it falls by 3. The U-Net does not fall.

    The volumes are different people.
    """
    home = table(r3dm=30.0, modl=31.0, fastmri_unet=25.0)
    away = table("regular_brain", r3dm=28.0, modl=26.0, fastmri_unet=23.0)
    away["volume"] = "person " + away["volume"].astype(str)
    away.loc[away["method"] == "modl", "psnr"] += [0.0, 0.3, -0.3]
    decided = found("31_out_of_distribution", pd.concat([home, away]))
    assert decided["C.31.regular_brain.modl.falls"]["measured"] == pytest.approx(3.0)
    assert decided["C.31.regular_brain.modl.falls"]["holds"] is True
    assert decided["C.31.regular_brain.modl.falls"]["volumes"] == 3
    assert decided["C.31.regular_brain.fastmri_unet.falls"]["measured"] == pytest.approx(0.0)
    assert not [name for name in decided if ".regular." in name]  # home is notebook 30's


def test_the_interval_of_two_samples_is_welchs():
    first, second = pd.Series([1.0, 2.0, 4.0, 5.5]), pd.Series([0.5, 0.7, 3.0])
    expected = ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    low, high = interval(first - second.mean(), 0.05, second)
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_a_term_helps_if_r3dm_is_better_with_it():
    rows = table(by="varied", steps=31.0, tv=30.0, l1=31.5, slices=31.0)
    rows = rows.assign(method="r3dm", value=0.0)
    rows.loc[rows["varied"] == "slices", "psnr"] += [0.1, -0.2, 0.1]
    decided = found("33_without", rows)
    assert decided["C.33.regular.tv"]["measured"] == pytest.approx(1.0)
    assert decided["C.33.regular.tv"]["holds"] is True
    assert decided["C.33.regular.l1"]["holds"] is False
    assert decided["C.33.regular.slices"]["holds"] is None


def test_priors_are_compared_by_what_they_look_at():
    rows = table(by="dimension", **{"2D": 30.0, "2D+A": 31.0, "3D": 32.0})
    decided = found("32_dimension", rows.assign(method="r3dm"))
    assert decided["C.32.regular.r3dm.2D+A>2D"]["measured"] == pytest.approx(1.0)
    assert decided["ours.32.regular.r3dm.2D+A>3D"]["holds"] is False


def test_profiles_have_a_line_for_each_method():
    rows = [
        {"dataset": "regular", "volume": 200, "R": 4.0, "method": name, "slice": n, "error": 0.1}
        for name in ("r3dm", "grappa")
        for n in range(5)
    ]
    fig = figures.profiles(pd.DataFrame(rows))
    assert len(fig.axes[0].lines) == 2 and fig.axes[0].get_xlabel() == "slice along z"
