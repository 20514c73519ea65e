from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from recon import rooms
from recon.errors import ReconError
from recon.figures import claims


def table(**psnr):
    """Two volumes at R = 4 and 8; ``psnr`` are the methods' values of volume "a" at R = 8."""
    rows = []
    for method, value in psnr.items():
        for volume, offset in (("a", 0.0), ("b", 5.0)):
            for R, drop in ((4.0, -20.0), (8.0, 0.0)):
                rows.append(
                    {
                        "dataset": "knee",
                        "volume": volume,
                        "R": R,
                        "method": method,
                        "psnr": value + offset + drop,
                        "ssim": 0.5,
                    }
                )
    return pd.DataFrame(rows)


def gain(rows, minimum):
    about = {"id": "x", "paper": "A", "figure": "3", "statement": "s"}
    claim = claims.smallest_gain(
        claims.paired_gain(rows, "l1_wavelet", "cg_sense", "psnr"), about, minimum_r=minimum
    )
    return SimpleNamespace(**claim.judged())


def test_the_smallest_gain_is_computed_from_paired_means():
    claim = gain(table(l1_wavelet=31.0, cg_sense=30.0), 8)
    assert claim.measured == 1.0 and claim.holds is True
    claim = gain(table(l1_wavelet=29.0, cg_sense=30.0), 8)
    assert claim.measured == -1.0 and claim.holds is False


def test_rows_that_nothing_tells_apart_are_refused():
    """A table of priors holds two methods: a mean over both would describe neither."""
    rows = shifted()
    with pytest.raises(ReconError, match="several rows for one volume, R and trained_at"):
        claims.paired_gain(
            pd.concat([rows, rows.assign(method="annealed")]), "1", "2", "psnr", "trained_at"
        )


def test_one_volume_decides_nothing():
    rows = table(l1_wavelet=31.0, cg_sense=30.0)
    claim = gain(rows[rows["volume"] == "a"], 8)
    assert claim.measured == 1.0 and claim.volumes == 1 and claim.holds is None


def test_volumes_that_would_say_otherwise_are_counted():
    """The mean over both volumes is above 0, but one of them alone is below.

    A volume that was not run at the R of the claim does not count.
    """
    rows = table(l1_wavelet=31.0, cg_sense=30.0)
    rows.loc[(rows["volume"] == "a") & (rows["method"] == "cg_sense"), "psnr"] += 1.5
    claim = gain(rows, 8)
    assert claim.measured == 0.25 and claim.holds is None and (claim.agree, claim.volumes) == (1, 2)
    assert claim.low < 0 < claim.high
    claim = gain(rows[(rows["volume"] == "a") | (rows["R"] < 8)], 8)
    assert claim.holds is None and (claim.agree, claim.volumes) == (0, 1)


def test_too_little_data_is_null():
    for rows, minimum in ((table(l1_wavelet=31.0), 8), (table(l1_wavelet=31.0, cg_sense=30.0), 12)):
        claim = gain(rows, minimum)
        assert claim.measured is None and claim.holds is None


def test_one_bad_acceleration_breaks_the_claim():
    rows = table(l1_wavelet=31.0, cg_sense=30.0)
    worse = rows.assign(
        R=rows["R"] * 4, psnr=rows["psnr"].where(rows["method"] == "cg_sense", rows["psnr"] - 3)
    )
    assert gain(pd.concat([rows, worse]), 8).holds is False


def test_scorecard_of_figure_3():
    order = ("annealed", "variational", "tpdm_dds", "dds", "l1_wavelet", "cg_sense", "zero_filled")
    means = {method: 33.0 - i for i, method in enumerate(order)}
    card = claims.scorecard("10_methods_without_shift", table(**means))
    assert len({c["id"] for c in card}) == len(card)
    assert {c["holds"] for c in card if c["figure"] == "3"} == {True}
    # equal SSIM is no improvement, and no loss
    assert {c["holds"] for c in card if c["figure"] == "A.1"} == {None}
    assert claims.scorecard("00_start_here", table()) == []
    summary = claims.summary({"10_methods_without_shift": table(**means), "00_start_here": table()})
    assert summary["statement"].tolist() == [c["statement"] for c in card] and "agree" in summary
    assert claims.summary({}).empty


def test_a_new_file_adds_claims_to_a_table(monkeypatch):
    """No other file names it. Its claims come after those of the other files."""
    words = claims.about("1", "knee", "new", "B")
    newcomer = {
        "10_methods_without_shift": lambda rows: [claims.smallest_gain(nothing, words)],
        "90_new": lambda rows: [claims.smallest_gain(nothing, words)],
    }
    nothing = claims.paired_gain(table(dds=30.0), "dds", "tpdm", "psnr")
    members, member = rooms.members, rooms.member
    monkeypatch.setattr(rooms, "members", lambda *room: (*members(*room), "paper_z"))
    monkeypatch.setattr(
        rooms, "member", lambda *asked: newcomer if asked[2] == "paper_z" else member(*asked)
    )
    ids = [c["id"] for c in claims.scorecard("10_methods_without_shift", table(dds=30.0))]
    assert ids.count("B.1.knee") == 1 and len(ids) == 19
    assert [c["id"] for c in claims.scorecard("90_new", table())] == ["B.1.knee"]


def shifted(diverse=0.0, at_low=1.0):
    """One method at 1× and 2× voxels, with priors of 1×, 2× and 4× voxels and a diverse one.

    Every doubling loses 1 dB at R = 16 and ``at_low`` dB at R = 4. The diverse prior loses
    ``diverse`` dB.
    """
    rows = []
    for dataset, voxel in (("knee", 1.0), ("knee_2x", 2.0)):
        for volume, offset in (("a", 0.0), ("b", 3.0)):
            for R, loss in ((4.0, at_low), (16.0, 1.0)):
                for trained in ("1", "2", "4", "diverse"):
                    away = (
                        diverse
                        if trained == "diverse"
                        else loss * abs(np.log2(float(trained) / voxel))
                    )
                    scores = {"psnr": 40 - R / 4 + offset - away, "ssim": 0.9 - 0.01 * away}
                    about = {
                        "dataset": dataset,
                        "volume": volume,
                        "R": R,
                        "method": "variational",
                        "trained_at": trained,
                    }
                    rows.append(about | {"voxel_factor": voxel} | scores)
    return pd.DataFrame(rows)


def test_shift_is_told_from_what_the_prior_was_trained_at():
    table = shifted()
    names = claims.shift_of(table)
    coarse = table["voxel_factor"] == 2
    assert set(names[coarse & (table["trained_at"] == "1")]) == {"2× finer"}
    assert set(names[coarse & (table["trained_at"] == "4")]) == {"2× coarser"}
    assert set(names[~coarse & (table["trained_at"] == "4")]) == {"4× coarser"}
    assert set(names[table["trained_at"] == "diverse"]) == {"diverse"}
    assert set(claims.shift_of(table.assign(voxel_factor="(1.0, 1.0, 3.0)"))) == {
        "1",
        "2",
        "4",
        "diverse",
    }


def test_scorecard_of_the_resolution_shift():
    """A claim holds or does not; nothing is claimed of a shift by 4×, which 2× voxels lack here."""
    card = {
        c["id"]: c
        for c in claims.scorecard("12_resolution_shift", shifted(diverse=0.2, at_low=0.5))
    }
    assert card["A.4.knee.variational.matched>2× coarser.psnr"]["measured"] == pytest.approx(0.5)
    assert card["A.4.knee.variational.coarser.grows"]["measured"] == pytest.approx(1.0)
    assert (
        card["A.4.knee.variational.coarser.grows"]["holds"]
        and card["A.4.knee.variational.diverse"]["holds"]
    )
    assert card["A.4.knee_2x.variational.matched>2× finer.psnr"]["holds"] and not any(
        "knee_2x" in k and "4×" in k for k in card
    )
    bad = {
        c["id"]: c
        for c in claims.scorecard("12_resolution_shift", shifted(diverse=0.4, at_low=1.0))
    }
    assert (
        bad["A.4.knee.variational.diverse"]["holds"] is False
        and bad["A.4.knee.variational.coarser.grows"]["holds"] is None
    )


def test_posterior_sampling_is_compared_by_what_a_shift_costs_it():
    """One method loses 0.01 SSIM per doubling, and the other one twice as much."""
    other = shifted()
    table = pd.concat([other, other.assign(method="tpdm_dds", ssim=2 * other["ssim"] - 0.9)])
    card = {c["id"]: c for c in claims.scorecard("13_posterior_sampling", table)}
    assert (
        card["A.A.6.knee.4× coarser.drop"]["measured"] == pytest.approx(0.02)
        and card["A.A.6.knee.4× coarser.drop"]["holds"]
    )
    assert "A.A.5.knee.tpdm_dds.matched>2× coarser.psnr" in card and not any(
        "variational" in k for k in card
    )


def varied(setting, gain_last, to_disk=False):
    """PSNR rises by 1 dB per value of a setting, but by ``gain_last`` at the last value."""
    values = {
        "slices": [3.0, 6.0, 12.0],
        "t_max": [1000.0, 400.0],
        "schedule": ["uniform", "annealed"],
        "planes": [1.0, 3.0],
    }[setting]
    rows = []
    for number, value in enumerate(values):
        psnr = 30 + number - (1 - gain_last) * (number == len(values) - 1)
        for volume in ("a", "b"):
            about = {
                "dataset": "knee",
                "volume": volume,
                "R": 8.0,
                "method": "variational",
                "varied": setting,
                "value": value,
            }
            rows.append(about | {"psnr": psnr, "ssim": 0.5})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("last", "levels_off", "others"), [(0.05, True, True), (0.5, False, True), (-0.5, True, False)]
)
def test_scorecard_of_the_hyperparameters(tmp_path, last, levels_off, others):
    """Verdicts from memory and from a file agree, though numbers and words share a column."""
    table = pd.concat([varied(s, last) for s in ("slices", "t_max", "schedule")])
    table.to_csv(tmp_path / "t.csv", index=False, float_format="%.6g")
    for found in (table, pd.read_csv(tmp_path / "t.csv")):
        card = {c["id"]: c["holds"] for c in claims.scorecard("11_hyperparameters", found)}
        wanted = {
            "A.A.2.knee.t_max": others,
            "A.A.2.knee.best": others,
            "A.A.3.knee.slices": levels_off,
            "ours.A.2.knee.schedule": others,
        }
        assert card == wanted


def test_scorecards_beyond_the_paper():
    (planes,) = claims.scorecard("40_planes", varied("planes", 0.5))
    assert planes["holds"] and planes["measured"] == pytest.approx(0.5)
    table = shifted(diverse=0.1)
    gap = table[table["trained_at"] == "diverse"].assign(
        trained_at="diverse, part held out", psnr=lambda t: t["psnr"] - 0.4
    )
    held = {c["id"]: c for c in claims.scorecard("41_held_out", pd.concat([table, gap]))}
    assert (
        held["ours.held_out.knee.variational"]["measured"] == pytest.approx(-0.4)
        and not held["ours.held_out.knee.variational"]["holds"]
    )
    thick = claims.scorecard("40_thick_slices", table[table["dataset"] == "knee"])
    assert [c["measured"] for c in thick] == [pytest.approx(-0.1)]
    best = table.assign(method="annealed", psnr=table["psnr"] + 1)
    assert claims.scorecard(
        "42_samplers", pd.concat([table, best])[lambda t: t["trained_at"] == "1"]
    )[0]["measured"] == pytest.approx(1.0)


def test_tuning_with_the_exchanged_prior_is_compared_on_the_same_scans():
    """Own settings gain 0.2 dB with one prior and 0.5 dB with the other."""
    own = [("knee", "k_by_1x", 0.2), ("knee_4x", "k_by_4x", 0.5)]
    kinds = [
        (prior, d, gain) for prior, name, more in own for d, gain in (("k", 0.0), (name, more))
    ]
    rows = [
        {"dataset": dataset, "volume": v, "R": 8.0, "method": "variational", "prior": prior}
        | {"psnr": 30 + v + gain, "voxel_factor": 2.0}
        | {"trained_at": {"knee": "1", "knee_2x": "2", "knee_4x": "4"}[prior]}
        for prior, dataset, gain in [*kinds, ("knee_2x", "k", 0.4)]
        for v in range(3)
    ]
    found = claims.scorecard("43_tuned_with_the_prior", pd.DataFrame(rows))
    assert [(c["holds"], round(c["measured"], 6)) for c in found] == [
        (True, 0.2), (True, 0.2),  # little is gained, and the matched prior is ahead still
        (False, 0.5), (False, -0.1),
    ]  # fmt: skip


def test_the_spread_over_seeds_is_taken_volume_by_volume():
    """Volumes differ by far more than their seeds."""
    rows = [
        {"dataset": "k", "volume": v, "R": 8.0, "method": method, "psnr": 30 + 5 * v + width * seed}
        for method, width in (("annealed", 0.01), ("dds", 1.0))
        for v in range(4)
        for seed in range(3)
    ]
    found = claims.scorecard("43_seeds", pd.DataFrame(rows))
    assert [(c["holds"], round(c["measured"], 6)) for c in found] == [(True, 0.01), (False, 1.0)]


def of_other_voxels(**psnr):
    """Rows at 4× voxels with priors of 4× ("matched"), diverse, and 2× ones as named."""
    rows = []
    for entry, value in psnr.items():
        trained = {"matched": "4", "diverse": "diverse"}.get(entry, "2")
        prior = f"knee_2x_{entry}" if "fourier" in entry or "bilinear" in entry else "knee_2x"
        for volume, offset in (("a", 0.0), ("b", 1.0), ("c", 2.0)):
            about = {"dataset": "knee_4x" + ("_by_2x" if trained == "2" else ""), "volume": volume}
            method = entry if entry.startswith("field") else "variational"
            about |= {"method": method, "prior": prior, "trained_at": trained, "voxel_factor": 4.0}
            rows.append(about | {"R": 4.0, "psnr": value + offset, "ssim": 0.5})
    return pd.DataFrame(rows)


def test_entries_put_scans_of_one_voxel_size_together():
    rows = of_other_voxels(matched=30, diverse=29, variational=27, field_trilinear=30)
    found = claims.entries(rows)
    assert set(found["dataset"]) == {"at 4× voxels"}
    assert list(found["entry"].unique()) == [
        "matched", "diverse", "variational", "field_trilinear",
    ]  # fmt: skip
    kernels = claims.entries(of_other_voxels(matched=30, fourier=29, bilinear_grown=20), "prior")
    assert list(kernels["entry"].unique()) == [
        "matched", "fourier kernels", "bilinear kernels, gain not kept",
    ]  # fmt: skip
    assert claims.kernels_of("knee_2x") == "as it is"


def test_kernels_are_compared_with_a_grid_that_resizes_the_volume():
    rows = of_other_voxels(matched=30, variational=25, fourier=28, field_trilinear=26)
    found = claims.entries(rows, "prior")
    assert list(found["entry"].unique()) == [
        "matched", "as it is", "fourier kernels", "field_trilinear",
    ]  # fmt: skip
    told = {c["statement"]: c["holds"] for c in claims.scorecard("16_smaller_voxels", rows)}
    ahead = {s: h for s, h in told.items() if s.endswith("above field_trilinear in mean PSNR")}
    assert [ahead[s] for s in ahead if "fourier" in s] == [True]


def test_scorecard_of_larger_voxels():
    rows = of_other_voxels(matched=30, variational=27, field_trilinear=29.8, field_nearest=26)
    told = {c["statement"]: c["holds"] for c in claims.scorecard("15_larger_voxels", rows)}
    held = [s for s, holds in told.items() if holds]
    assert len(held) == 3 and any(
        "field_trilinear is at most 0.3 dB below matched" in s for s in held
    )
    worse = of_other_voxels(matched=30, variational=27, field_trilinear=29.5)
    told = {c["statement"]: c["holds"] for c in claims.scorecard("15_larger_voxels", worse)}
    assert [holds for s, holds in told.items() if "matched" in s] == [False]


def test_a_prior_at_its_own_pixels_is_compared_with_diverse_training():
    rows = []
    for trained, value, psnr in (("2", 1, 25), ("2", "prior", 28), ("diverse", 1, 27)):
        for volume in "abc":
            rows.append({"dataset": "knee", "volume": volume, "method": "annealed", "R": 8.0})
            rows[-1] |= {"trained_at": trained, "voxel_factor": 1.0, "value": value, "psnr": psnr}
    told = claims.scorecard("18_smaller_voxels", pd.DataFrame(rows))
    assert [claim["holds"] for claim in told] == [True, False]
