import numpy as np
import pandas as pd
import pytest

from recon import claims


def table(**psnr):
    """Mean PSNR per method; two volumes, R = 4 and 8, the methods' values at R = 8 being the ones given."""
    rows = []
    for method, value in psnr.items():
        for volume, offset in (("a", 0.0), ("b", 5.0)):
            for R, drop in ((4.0, -20.0), (8.0, 0.0)):
                rows.append({"dataset": "knee", "volume": volume, "R": R, "method": method, "psnr": value + offset + drop, "ssim": 0.5})
    return pd.DataFrame(rows)


def gain(rows, minimum):
    about = {"id": "x", "paper": "A", "figure": "3", "statement": "s"}
    return claims.smallest_gain(claims.paired_gain(rows, "l1_wavelet", "cg_sense", "psnr"), minimum_r=minimum, **about)


def test_the_smallest_gain_is_computed_from_paired_means():
    claim = gain(table(l1_wavelet=31.0, cg_sense=30.0), 8)
    assert claim.measured == 1.0 and claim.holds is True
    claim = gain(table(l1_wavelet=29.0, cg_sense=30.0), 8)
    assert claim.measured == -1.0 and claim.holds is False


def test_too_little_data_is_null():
    for rows, minimum in ((table(l1_wavelet=31.0), 8), (table(l1_wavelet=31.0, cg_sense=30.0), 12)):
        claim = gain(rows, minimum)
        assert claim.measured is None and claim.holds is None


def test_one_bad_acceleration_breaks_the_claim():
    rows = table(l1_wavelet=31.0, cg_sense=30.0)
    worse = rows.assign(R=rows["R"] * 2, psnr=rows["psnr"].where(rows["method"] == "cg_sense", rows["psnr"] - 3))
    assert gain(pd.concat([rows, worse]), 8).holds is False


def test_scorecard_of_figure_3():
    card = claims.scorecard(
        "10_methods_without_shift", table(annealed=33.0, variational=32.0, l1_wavelet=31.0, cg_sense=30.0, zero_filled=25.0)
    )
    assert len({c["id"] for c in card}) == len(card)
    assert {c["holds"] for c in card if c["figure"] == "3"} == {True}
    assert {c["holds"] for c in card if c["figure"] == "A.1"} == {False}  # equal SSIM is no improvement
    assert claims.scorecard("00_start_here", table()) == []


def shifted(diverse=0.0, at_low=1.0):
    """One method at 1× and 2× voxels with priors of 1×, 2×, 4× and diverse: 1 dB lost per doubling at R = 16, ``at_low`` dB at R = 4."""
    rows = []
    for dataset, voxel in (("knee", 1.0), ("knee_2x", 2.0)):
        for volume, offset in (("a", 0.0), ("b", 3.0)):
            for R, loss in ((4.0, at_low), (16.0, 1.0)):
                for trained in ("1", "2", "4", "diverse"):
                    away = diverse if trained == "diverse" else loss * abs(np.log2(float(trained) / voxel))
                    scores = {"psnr": 40 - R / 4 + offset - away, "ssim": 0.9 - 0.01 * away}
                    about = {"dataset": dataset, "volume": volume, "R": R, "method": "variational", "trained_at": trained}
                    rows.append(about | {"voxel_factor": voxel} | scores)
    return pd.DataFrame(rows)


def test_shift_is_told_from_what_the_prior_was_trained_at():
    table = shifted()
    names = claims.shift_of(table)
    assert set(names[(table["voxel_factor"] == 2) & (table["trained_at"].isin(["1", "4"]))]) == {"2×"}
    assert set(names[(table["voxel_factor"] == 1) & (table["trained_at"] == "4")]) == {"4×"}
    assert set(names[table["trained_at"] == "diverse"]) == {"diverse"}


def test_scorecard_of_the_resolution_shift():
    """Holds, does not hold, or is null where a shift was not run (from 2× voxels none is 4× away)."""
    card = {c["id"]: c for c in claims.scorecard("13_resolution_shift", shifted(diverse=0.2, at_low=0.5))}
    assert card["A.4.knee.variational.matched>2×.psnr"]["measured"] == pytest.approx(0.5)
    assert card["A.4.knee.variational.grows"]["measured"] == pytest.approx(1.0) and card["A.4.knee.variational.grows"]["holds"]
    assert card["A.4.knee.variational.diverse"]["holds"] and card["A.4.knee_2x.variational.2×>4×.psnr"]["holds"] is None
    bad = {c["id"]: c for c in claims.scorecard("13_resolution_shift", shifted(diverse=0.4, at_low=1.0))}
    assert bad["A.4.knee.variational.diverse"]["holds"] is False and bad["A.4.knee.variational.grows"]["holds"] is False
