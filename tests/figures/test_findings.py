"""What findings say: words follow signs, numbers the table, and nothing is said of what is not
there.
"""

import numpy as np
import pandas as pd
import pytest
from IPython.display import Markdown

from recon.figures import claims, findings


def table(differences, dataset="knee", volumes=("a", "b"), metric="psnr", better="variational"):
    """Scores of two methods, ``better`` ahead by ``differences`` at R = 4, 8, …; the volumes lie
    0.02 apart on either side of that, so that only their mean is exact.
    """
    rows = []
    for number, difference in enumerate(differences):
        for place, volume in enumerate(volumes):
            off = 0.02 * (place - (len(volumes) - 1) / 2)
            for method, score in (("l1_wavelet", 30.0), (better, 30.0 + difference + off)):
                about = {"dataset": dataset, "volume": volume, "R": 4.0 * 2**number}
                rows.append(about | {"method": method, metric: score + place})
    return pd.DataFrame(rows)


def said(differences, **options):
    (sentence,) = findings.ahead(table(differences, **options), "variational", "l1_wavelet")
    return sentence


def test_the_words_follow_the_signs():
    ours, other, end = "Variational (paper A)", "ℓ1-wavelet", "at R = 4 to 8 (mean over 2 volumes)."
    assert said([1.1, 1.9]) == f"On knee, {ours} is 1.1 to 1.9 dB ahead of {other} {end}"
    assert said([-1.9, -1.1]) == f"On knee, {ours} is 1.1 to 1.9 dB behind {other} {end}"
    between = f"lies between 0.3 dB behind and 0.2 dB ahead of {other}"
    assert said([0.2, -0.3]) == f"On knee, {ours} {between} {end}"
    assert said([0.001, -0.001]) == f"On knee, {ours} is level with {other} to within 0.01 dB {end}"


def test_numbers_match_to_the_printed_digit():
    """One decimal, or two where the smaller number would vanish; one number if both are alike."""
    assert "is 0.04 to 0.33 dB ahead" in said([0.04, 0.33])
    assert "is 0.00 to 0.33 dB behind" in said([-0.001, -0.33])
    assert "is 0.00 to 0.33 dB behind" in said([0.0, -0.33], volumes=("a",))
    assert "is 1.2 dB ahead" in said([1.21, 1.19])
    assert (
        "between 0.004 behind and 0.12 ahead"
        in findings.ahead(
            table([-0.004, 0.12], metric="ssim"), "variational", "l1_wavelet", "ssim"
        )[0]
    )


@pytest.mark.parametrize("seed", range(20))
def test_every_number_and_word_is_true_of_random_tables(seed):
    """The words and the printed numbers are read back from the sentence and held to the means."""
    drawn = np.random.default_rng(seed).normal(scale=10.0 ** -(seed % 4), size=3)
    rows = table(drawn)
    text = findings.ahead(rows, "variational", "l1_wavelet")[0].split(" at R")[0]
    means = claims.paired_gain(rows, "variational", "l1_wavelet", "psnr").groupby("R")["gain"]
    low, high = means.mean().min(), means.mean().max()
    numbers = [float(w) for w in text.split() if w.replace(".", "").isdigit()]
    if "level" in text:
        assert max(abs(low), abs(high)) < 0.01
    elif "between" in text:
        assert low < 0 < high and numbers == pytest.approx([-low, high], abs=0.05)
    else:
        sign = 1 if "ahead" in text else -1
        assert min(sign * low, sign * high) >= 0
        assert (numbers[0], numbers[-1]) == pytest.approx(sorted(map(abs, (low, high))), abs=0.05)


def test_one_volume_and_one_acceleration_are_called_so():
    assert said([1.0], volumes=("a",)).endswith(
        "is 1.0 dB ahead of ℓ1-wavelet at R = 4 (1 volume)."
    )


def test_every_dataset_has_its_own_sentence():
    both = pd.concat([table([1.0]), table([-2.0], dataset="brain")])
    first, second = findings.ahead(both, "variational", "l1_wavelet")
    assert first.startswith("On knee,") and "1.0 dB ahead" in first
    assert second.startswith("On brain,") and "2.0 dB behind" in second


def test_missing_methods_give_no_sentence():
    rows = table([1.0])
    assert findings.ahead(rows, "variational", "annealed") == []
    assert findings.ahead(rows, "annealed", "tpdm") == []
    assert findings.ahead(rows, "variational", "variational") == []
    assert findings.ranking(rows[rows["method"] == "variational"]) == []
    apart = pd.concat([rows[rows["method"] == "variational"], rows.assign(volume="c")[:1]])
    assert findings.ahead(apart, "variational", "l1_wavelet") == []  # no volume in common


def priors():
    """The matched prior at 30, one of 2× coarser voxels 1.5 below, a diverse one 0.2 above."""
    rows = []
    for trained, away in (("1", 0.0), ("2", -1.5), ("diverse", 0.2)):
        for method, more in (("variational", 1.0), ("tpdm_dds", 2.0)):
            about = {"dataset": "knee", "volume": "a", "R": 8.0, "method": method}
            about |= {"trained_at": trained, "voxel_factor": 1.0}
            rows.append(about | {"psnr": 30 + more * away, "ssim": 0.9 + 0.011 * away})
    found = pd.DataFrame(rows)
    return found.assign(shift=claims.shift_of(found))


def test_losses_of_every_prior_and_method():
    assert findings.losses(priors()) == [
        "On knee with Variational (paper A), the prior of 2× coarser voxels is 1.5 dB behind the "
        "matched prior at R = 8 (1 volume).",
        "On knee with TPDM+DDS, the prior of 2× coarser voxels is 3.0 dB behind the matched prior "
        "at R = 8 (1 volume).",
        "On knee with Variational (paper A), the diverse prior is 0.2 dB ahead of the matched "
        "prior at R = 8 (1 volume).",
        "On knee with TPDM+DDS, the diverse prior is 0.4 dB ahead of the matched prior at R = 8 "
        "(1 volume).",
    ]
    rows = priors()
    assert "is 0.02 behind the matched prior in SSIM" in findings.losses(rows, "ssim")[0]
    assert findings.losses(rows[rows["shift"] != "matched"]) == []


def varied():
    """Two bounds as a table on disk has them, among words, and a setting without effect."""
    rows = [
        {"dataset": "knee", "method": "variational", "R": 16.0, "volume": volume, "varied": varied}
        | {"value": value, "psnr": psnr + offset}
        for volume, offset in (("a", 0.0), ("b", 4.0))
        for varied, value, psnr in (
            ("t_max", "400.0", 30.0),
            ("t_max", "1000.0", 29.3),
            ("schedule", "uniform", 30.0),
            ("schedule", "annealed", 30.0),
        )
    ]
    return pd.DataFrame(rows)


def test_settings_name_the_best_and_the_worst_value():
    best, same = findings.settings(varied())
    assert best == (
        "On knee at R = 16 with Variational (paper A), `t_max` = 400 has the highest mean, 32.0 "
        "dB; 1000 has the lowest, 0.7 dB less (mean over 2 volumes)."
    )
    assert "the value of `schedule` makes no difference; all agree to within 0.01 dB" in same
    alone = varied()[lambda t: t["value"].isin(["400.0", "uniform"])]
    assert findings.settings(alone) == []


def test_values_are_compared_by_their_text():
    bounds = varied()[lambda t: t["varied"] == "t_max"]
    (sentence,) = findings.ahead(bounds, "400", "1000", by="value")
    assert "with Variational (paper A), `t_max` = 400 is 0.7 dB ahead of `t_max` = 1000" in sentence


def test_entries_are_compared_across_methods_and_priors():
    """Their table has one dataset for all scans of one voxel size; see `claims.entries`."""
    rows = [
        {"dataset": "at 4× voxels", "volume": volume, "R": 4.0, "entry": entry, "psnr": psnr}
        | {"method": "field_trilinear" if entry.startswith("field") else "variational"}
        for volume in "ab"
        for entry, psnr in (("matched", 30.0), ("field_trilinear", 29.0), ("fourier kernels", 28.0))
    ]
    end = "behind the matched prior at R = 4 (mean over 2 volumes)."
    (field,) = findings.ahead(pd.DataFrame(rows), "field_trilinear", "matched", by="entry")
    assert field.startswith("At 4× voxels, ") and field.endswith(f"is 1.0 dB {end}")
    (kernels,) = findings.ahead(pd.DataFrame(rows), "fourier kernels", "matched", by="entry")
    assert kernels == f"At 4× voxels, the prior with fourier kernels is 2.0 dB {end}"


def test_draws_are_counted():
    rows = [
        {"dataset": "knee", "volume": "a", "method": "tpdm_dds", "R": 8.0, "draws": n, "psnr": p}
        for n, p in ((1, 27.0), (4, 29.0))
    ]
    (sentence,) = findings.ahead(pd.DataFrame(rows), "4", "1", by="draws")
    assert "the mean of 4 draws is 2.0 dB ahead of one draw" in sentence


def test_the_ranking_is_sorted():
    (sentence,) = findings.ranking(table([1.0]))
    assert sentence == (
        "On knee at R = 4 the order is: Variational (paper A) 31.5 dB, ℓ1-wavelet 30.5 dB "
        "(mean over 2 volumes)."
    )


def test_costs_are_ratios_of_sums():
    rows = table([1.0, 1.0]).replace("l1_wavelet", "annealed")
    ours = rows["method"] == "annealed"
    rows = rows.assign(denoised_slices=np.where(ours, 50, 100), seconds=np.where(ours, 3.0, 4.0))
    (sentence,) = findings.costs(rows, "annealed", "variational")
    assert "Annealed (ours) denoised 0.5 times as many slices as Variational (paper A)" in sentence
    assert sentence.endswith("and took 0.75 times as long.")
    assert findings.costs(rows.assign(denoised_slices=0), "annealed", "variational") == []
    assert findings.costs(rows[ours], "annealed", "variational") == []


def test_verdicts_count_what_the_scorecard_says():
    """Of the claims of Figure 3 one holds, and one does not: the SSIM is lower."""
    rows = table([1.0, 1.0])
    rows["ssim"] = np.where(rows["method"] == "variational", 0.4, 0.5)
    counted, rest = findings.verdicts({"10_methods_without_shift": rows})
    assert counted == (
        "1 of 2 decided claims hold; these do not:\n"
        "    - knee: variational has a higher mean SSIM than l1_wavelet at every R"
    )
    undecided = len(claims.scorecard("10_methods_without_shift", rows)) - 2
    assert rest == f"{undecided} claims cannot be decided from these tables."
    one = rows[rows["volume"] == "a"]
    (none,) = findings.verdicts({"10_methods_without_shift": one})
    assert none == f"0 of {undecided + 2} claims can be decided from these tables."
    assert findings.verdicts({"00_start_here": rows}) == [] and findings.verdicts({}) == []


def test_show_makes_one_list(monkeypatch):
    shown = []
    monkeypatch.setattr(findings, "display", shown.append)
    findings.show(["One.", "Two."], [], ["Three."])
    findings.show([], [])
    assert all(isinstance(markdown, Markdown) for markdown in shown)
    assert shown[0].data == "- One.\n- Two.\n- Three."
    assert shown[1].data == "- The tables at hand decide nothing here."
