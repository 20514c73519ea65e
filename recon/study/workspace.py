"""Where the files of a study lie."""

from pathlib import Path

from recon.schema import ROOT
from recon.study.config import Config


class Workspace:
    """A configuration and its folders: ``results/NAME`` and ``figures/NAME``.

    What lies in ``results`` can be made again.
    """

    def __init__(self, config: Config, root: Path = ROOT, source: str | None = None):
        self.config, self.root = config, Path(root)
        # The name or path under which the configuration can be loaded again.
        self.source = source or config.name
        self.results = self.root / "results" / config.name
        self.figures = self.root / "figures" / config.name

    def data_path(self, dataset: str, subject: str | int) -> Path:
        """Where a prepared volume lies."""
        return self.results / "data" / dataset / f"{subject}.h5"

    def network_path(self, name: str) -> Path:
        """Where the weights of a trained network lie: as shipped, or as trained here."""
        section = self.config.networks[name]
        if section.weights_of:
            return self.network_path(section.weights_of)
        shipped = section.shipped
        return self.root / shipped if shipped else self.results / "networks" / f"{name}.safetensors"

    def weights_path(self, start: str) -> Path:
        """Where the weights lie that training goes on from: those of a network, or a file."""
        known = start in self.config.networks
        return self.network_path(start) if known else self.root / start

    def tuning_path(self, dataset: str, method: str) -> Path:
        """Where the record of a method's tuning lies, unless it is shipped."""
        return self.results / "tuning" / dataset / f"{method}.json"

    def case_path(self, key: str) -> Path:
        """Where a reconstruction lies, without the suffix.

        The volume ends in ``.h5``, and the record of what it cost and was made of in ``.json``.
        """
        return self.results / "cases" / key

    def scores_path(self, key: str) -> Path:
        """Where the scores of a reconstruction lie."""
        return self.results / "scores" / f"{key}.json"

    def notebook_path(self, notebook: str) -> Path:
        """Where an executed notebook lies."""
        return self.results / "notebooks" / f"{notebook}.ipynb"

    def table_path(self, comparison: str, dataset: str, subject: str | int) -> Path:
        """Where the rows of a comparison for one test subject lie."""
        return self.results / "tables" / comparison / dataset / f"{subject}.csv"
