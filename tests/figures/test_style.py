import pytest

from recon import methods
from recon.figures.style import PRIORS, style

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
