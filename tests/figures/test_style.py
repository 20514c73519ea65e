from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from skimage.color import rgb2lab

from recon import methods
from recon.figures.style import COLOURS, PRIORS, looks, style

SHIFTS = [name for name in PRIORS if not name.isdigit()]
FACTORS = [name for name in PRIORS if name.isdigit()] + ["diverse", "diverse, part held out"]
UNKNOWN = style("a method of tomorrow")


@pytest.mark.parametrize("names", [methods.names(), SHIFTS, FACTORS])
def test_what_one_figure_may_show_looks_different(names):
    """Colour and marker tell apart even what is printed in grey or seen by the colour-blind."""
    looks = [style(name) for name in names]
    assert len({(look["color"], look["marker"]) for look in looks}) == len(names)
    assert len({look["label"] for look in looks}) == len(names)
    assert len({look["marker"] for look in looks}) == len(names)


def test_methods_say_themselves_how_they_look():
    for name in methods.names():
        method = methods.lookup(name)
        assert style(name) == {
            "label": method.label,
            "color": method.color,
            "marker": method.marker,
        }


def test_unknown_names_share_one_look_that_nothing_known_has():
    other = style("another one")
    assert (other["color"], other["marker"]) == (UNKNOWN["color"], UNKNOWN["marker"])
    assert (other["label"], UNKNOWN["label"]) == ("another one", "a method of tomorrow")
    known = [style(name) for name in (*methods.names(), *PRIORS)]
    assert UNKNOWN["marker"] not in {look["marker"] for look in known}


@pytest.mark.parametrize("name", ["2", "2.0", 2, 2.0])
def test_a_voxel_factor_looks_the_same_from_memory_and_from_a_file(name):
    assert style(name) == PRIORS["2"]


# Machado, Oliveira and Fernandes 2009 (IEEE TVCG 15, 1291), severity 1, in linear RGB.
DEFICIENCIES = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def closest(colours, deficiency):
    """The smallest distance in CIELAB of two colours, as someone with a deficiency sees them."""
    rgb = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = (linear @ np.array(deficiency).T).clip(0, 1)
    seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = rgb2lab(seen[None])[0]
    return min(np.linalg.norm(one - other) for one, other in combinations(lab, 2))


@pytest.mark.parametrize("deficiency", DEFICIENCIES.values(), ids=DEFICIENCIES)
def test_colours_of_the_cycle_differ_for_the_colour_blind(deficiency):
    """Matplotlib's own cycle has pairs at 4.6 and 7.2, which look the same."""
    cycle = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    assert cycle == list(COLOURS)
    assert closest(cycle, deficiency) > 10


def test_names_without_a_look_take_colours_that_are_free():
    found = looks(["matched", "diverse", "as it is", "fourier kernels", "field_trilinear"])
    assert len({look["color"] for look in found.values()}) == len(found)
    assert len(looks([f"prior {n}" for n in range(30)])) == 30
