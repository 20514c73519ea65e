"""Paper C's claims, and the charts of its notebooks."""

import pandas as pd
import pytest

from recon import figures
from recon.figures import claims
from recon.figures.claims.paper_c import kind_of


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
    """MoDL leads at home by 1 and trails away by 2, so it falls by 3. The U-Net does not fall."""
    home = table(r3dm=30.0, modl=31.0, fastmri_unet=25.0)
    away = table("regular_brain", r3dm=28.0, modl=26.0, fastmri_unet=23.0)
    decided = found("31_out_of_distribution", pd.concat([home, away]))
    assert decided["C.31.regular_brain.modl.falls"]["measured"] == pytest.approx(3.0)
    assert decided["C.31.regular_brain.modl.falls"]["holds"] is True
    assert decided["C.31.regular_brain.fastmri_unet.falls"]["measured"] == pytest.approx(0.0)
    assert not [name for name in decided if ".regular." in name]  # home is notebook 30's


def test_a_term_helps_if_its_best_value_beats_zero():
    rows = table(by="value", **{"0": 30.0, "0.005": 31.0, "0.05": 25.0})
    rows = rows.assign(method="r3dm", varied="tv", value=lambda t: t["value"].astype(float))
    worse = rows.assign(varied="l1", psnr=60 - rows["psnr"])
    worse = worse[worse["value"] != 0.05]
    decided = found("33_terms", pd.concat([rows, worse]))
    assert decided["C.33.regular.tv"]["measured"] == pytest.approx(1.0)
    assert decided["C.33.regular.tv"]["holds"] is True
    assert decided["C.33.regular.l1"]["holds"] is False


def test_priors_are_compared_by_what_they_look_at():
    names = {"knee_2x": 29.0, "knee_2x_longer": 30.0, "knee_2x_stack": 31.0, "knee_2x_solid": 32.0}
    rows = table(by="prior", **names).assign(method="r3dm")
    decided = found("32_dimension", rows)
    assert decided["C.32.regular.r3dm.2D+A>2D"]["measured"] == pytest.approx(1.0)
    assert decided["ours.32.regular.r3dm.2D+A>3D"]["holds"] is False
    kinds = {"brain_stack": "2D+A", "x_solid": "3D", "a_longer": "2D", "knee": "2D, shorter"}
    assert {name: kind_of(name) for name in kinds} == kinds


def test_profiles_have_a_line_for_each_method():
    rows = [
        {"dataset": "regular", "volume": 200, "R": 4.0, "method": name, "slice": n, "error": 0.1}
        for name in ("r3dm", "grappa")
        for n in range(5)
    ]
    fig = figures.profiles(pd.DataFrame(rows))
    assert len(fig.axes[0].lines) == 2 and fig.axes[0].get_xlabel() == "slice along z"
