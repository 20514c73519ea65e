import pandas as pd

from recon import claims


def table(**psnr):
    """Mean PSNR per method; two volumes, R = 4 and 8, the methods' values at R = 8 being the ones given."""
    rows = []
    for method, value in psnr.items():
        for volume, offset in (("a", 0.0), ("b", 5.0)):
            for R, drop in ((4.0, -20.0), (8.0, 0.0)):
                rows.append({"dataset": "knee", "volume": volume, "R": R, "method": method, "psnr": value + offset + drop, "ssim": 0.5})
    return pd.DataFrame(rows)


def test_ordering_is_computed_from_paired_means():
    about = {"id": "x", "paper": "A", "figure": "3", "statement": "s"}
    claim = claims.ordering(table(l1_wavelet=31.0, cg_sense=30.0), "l1_wavelet", "cg_sense", "psnr", 8, **about)
    assert claim.measured == 1.0 and claim.holds is True
    claim = claims.ordering(table(l1_wavelet=29.0, cg_sense=30.0), "l1_wavelet", "cg_sense", "psnr", 8, **about)
    assert claim.measured == -1.0 and claim.holds is False


def test_too_little_data_is_null():
    about = {"id": "x", "paper": "A", "figure": "3", "statement": "s"}
    for rows, minimum in ((table(l1_wavelet=31.0), 8), (table(l1_wavelet=31.0, cg_sense=30.0), 12)):
        claim = claims.ordering(rows, "l1_wavelet", "cg_sense", "psnr", minimum, **about)
        assert claim.measured is None and claim.holds is None


def test_one_bad_acceleration_breaks_the_claim():
    rows = table(l1_wavelet=31.0, cg_sense=30.0)
    worse = rows.assign(R=rows["R"] * 2, psnr=rows["psnr"].where(rows["method"] == "cg_sense", rows["psnr"] - 3))
    about = {"id": "x", "paper": "A", "figure": "3", "statement": "s"}
    assert claims.ordering(pd.concat([rows, worse]), "l1_wavelet", "cg_sense", "psnr", 8, **about).holds is False


def test_scorecard_of_figure_3():
    card = claims.scorecard(
        "10_methods_without_shift", table(annealed=33.0, variational=32.0, l1_wavelet=31.0, cg_sense=30.0, zero_filled=25.0)
    )
    assert len({c["id"] for c in card}) == len(card)
    assert {c["holds"] for c in card if c["figure"] == "3"} == {True}
    assert {c["holds"] for c in card if c["figure"] == "A.1"} == {False}  # equal SSIM is no improvement
    assert claims.scorecard("00_start_here", table()) == []
