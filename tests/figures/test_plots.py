import matplotlib.pyplot as plt

from recon import figures
from recon.study.config import load
from recon.study.study import Study


def test_the_same_figure_gives_the_same_files(tmp_path):
    """Pictures are compared by their bytes, and committed: names inside an .svg must not change
    from run to run.
    """
    study, written = Study(load("smoke"), root=tmp_path), []
    for _ in range(2):
        fig, axis = plt.subplots()
        axis.plot([1, 2, 3], marker="o")
        figures.save(study, fig, "line")
        written.append(
            [(study.figures / f"line{suffix}").read_bytes() for suffix in (".png", ".svg")]
        )
    assert written[0] == written[1]
