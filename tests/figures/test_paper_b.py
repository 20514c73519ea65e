"""Paper B's claims, and the boxes that show them."""

import pandas as pd
import pytest

from recon import figures
from recon.figures import claims


def table(**errors: float) -> pd.DataFrame:
    """Three subjects at R = 8, with the NRMSE of each method and a little spread."""
    rows = [
        {"dataset": "slices", "volume": f"{200 + n}@40", "R": 8.0, "method": name}
        | {"nrmse": error + 0.001 * n, "seconds": 1.0, "peak_memory_mb": 100.0, "value": name}
        for name, error in errors.items()
        for n in range(3)
    ]
    return pd.DataFrame(rows)


def test_the_lower_error_wins():
    found = {
        c["id"]: c
        for c in claims.scorecard("20_slices", table(infusion=0.1, inr=0.2, annealed=0.05))
    }
    ahead = found["ours.2.slices.infusion<inr.nrmse"]
    assert ahead["holds"] is True and ahead["measured"] == pytest.approx(10)
    assert found["ours.2.slices.infusion<annealed.nrmse"]["holds"] is False
    assert found["B.2.slices.infusion<l1_wavelet.nrmse"]["holds"] is None


def test_memory_is_the_papers_claim_and_time_is_ours():
    rows = table(columns=0.1, mlp=0.1).assign(method="infusion")
    rows.loc[rows["value"] == "mlp", "peak_memory_mb"] = [300.0, 301.0, 302.0]
    found = {c["id"]: c for c in claims.scorecard("21_networks", rows)}
    assert found["B.4.slices.infusion.peak_memory_mb"]["holds"] is True
    assert found["ours.4.slices.infusion.seconds"]["paper"] == "ours"


@pytest.mark.parametrize("volumes", [2, 6])
def test_few_values_are_dots_and_many_are_boxes(volumes):
    rows = table(infusion=0.1, inr=0.2)
    many = pd.concat([rows.assign(volume=f"{n}") for n in range(volumes)])
    ax = figures.boxes(many.drop_duplicates(["volume", "method"]), "nrmse", "NRMSE").axes[0]
    dots = [line for line in ax.lines if line.get_marker() == "o" and len(line.get_xdata()) == 2]
    assert (len(dots), len(ax.patches)) == ((2, 0) if volumes == 2 else (0, 2))


def test_boxes_have_a_panel_for_each_scan_and_a_line_for_each_volume():
    both = pd.concat([table(infusion=0.1, inr=0.2), table(infusion=0.1, inr=0.2).assign(R=9.0)])
    fig = figures.boxes(both, "nrmse", "NRMSE")
    titles = [ax.get_title() for ax in fig.axes]
    assert titles == ["slices\nR = 8, 3 volumes", "slices\nR = 9, 3 volumes"]
    grey = [line for line in fig.axes[0].lines if line.get_color() == "0.75"]
    assert len(grey) == 3 and list(grey[0].get_ydata()) == pytest.approx([0.1, 0.2])
