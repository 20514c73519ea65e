"""What `make plan` is told of costs can be measured anew."""

import pytest

from workflow.scripts import costs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    return costs.opened(tmp_path_factory.mktemp("costs"))


@pytest.mark.parametrize("name", costs.RUN)
def test_a_case_is_timed_and_counted(studies, name):
    """The first and the last two methods of each configuration, with and without networks."""
    methods, datasets = costs.RUN[name]
    for method in {methods[0], *methods[-2:]}:
        row = costs.measured(studies[name], datasets[0], method)
        cost = costs.method_cost([row], 1e-12)
        assert row["seconds"] > 0 and min(cost.values()) >= 0 < cost["overhead"] + cost["data"]


def test_networks_are_timed(studies):
    """A training step takes longer than its forward pass alone."""
    found = costs.per_operation(studies["demo"])
    assert 0 < found["flop"] < found["training_flop"]
