"""What tuning searches: it holds the published values, and knows its edges."""

import pytest

from recon import methods
from recon.methods.ranges import decades, share

# What the papers say; see the docstrings of the settings.
PUBLISHED = {
    "variational": {"t_max": 400.0},
    "tpdm_dds": {"gamma": 0.95, "eta": 0.95},
    "dds": {"weight": 0.005, "rho": 0.01},
    "diffusion_mbir": {"weight": 0.005, "rho": 0.01},
    "tpdm": {"zeta": 0.01, "snr": 0.16},
}


@pytest.mark.parametrize("method", methods.names())
def test_the_defaults_lie_inside_the_space(method):
    defaults = methods.lookup(method).settings()
    for name, found in methods.lookup(method).space.items():
        assert found.edge(getattr(defaults, name)) is None


@pytest.mark.parametrize("method", PUBLISHED)
def test_the_published_values_lie_inside_with_room_on_both_sides(method):
    space = methods.lookup(method).space
    for name, value in PUBLISHED[method].items():
        assert space[name].edge(value) is None


def test_a_fraction_is_searched_evenly():
    """Half of all trials of η lie above one half, not a seventh of them."""
    eta = methods.lookup("tpdm_dds").space["eta"]
    assert eta.place(0.5) == 0.5 and not eta.logarithmic


def test_edges_are_ends_that_are_no_limits():
    weight, part = decades(0.01, 1.0), share()
    assert [weight.edge(v) for v in (0.011, 0.1, 0.99)] == ["low", None, "high"]
    assert part.edge(0.0) is None and part.edge(1.0) is None
    assert decades(10, 1000, most=1000).edge(990) is None


def test_a_range_is_widened_at_the_end_that_was_chosen():
    weight = decades(0.01, 1.0)
    lower, higher = weight.widened(0.011), weight.widened(0.99)
    assert (lower.low, lower.high) == pytest.approx((0.001, 1.0))
    assert (higher.low, higher.high) == pytest.approx((0.01, 10.0))
    assert weight.widened(0.1) == weight and lower.edge(0.011) is None
    assert decades(10, 500, most=1000).widened(499).high == 1000
