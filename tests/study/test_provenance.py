"""A result is stale when something it uses has changed, and only then."""

import shutil

import pytest

from recon import methods
from recon.schema import ROOT
from recon.study import provenance, use
from recon.study.config import load


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A copy of the package that may be edited: gives what edits a file and forgets the hashes."""
    shutil.copytree(ROOT / "recon", tmp_path / "recon")
    monkeypatch.setattr(use, "ROOT", tmp_path)

    def forget() -> None:
        for cached in (use.parse, use.use, use.code_hash):
            cached.cache_clear()

    def edit(file: str, old: str = "", new: str = "", add: str = "") -> None:
        path = tmp_path / "recon" / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1) + add)
        forget()

    forget()
    yield edit
    forget()


def hashes() -> dict[str, str]:
    """The hash of every kind of result of the smoke configuration."""
    config = load("smoke")
    prior = config.networks["knee"]
    used = {name: [prior] if methods.lookup(name).needs else [] for name in config.methods}
    settings = {n: vars(methods.settings_of(n, **v)) for n, v in config.methods.items()}
    out = {n: provenance.reconstruction_code(n, settings[n], used[n]) for n in config.methods}
    out |= {"scores": provenance.scoring_code(), "training": provenance.training_code(prior)}
    return out | {"volumes": provenance.preparation_code(config.datasets["knee"])}


def changed(before: dict[str, str]) -> set[str]:
    return {name for name, value in hashes().items() if value != before[name]}


PRIORS = {"tpdm_dds", "dds", "diffusion_mbir", "tpdm", "variational", "annealed"}
METHODS = PRIORS | {"zero_filled", "cg_sense", "l1_wavelet"}
NEW = '\n\ndef brand_new(x):\n    """Does something else."""\n    return x + 1\n'


def test_a_new_function_beside_the_old_ones_stales_nothing(source):
    before = hashes()
    for file in ("networks/unet.py", "priors/ddpm.py", "mri/metrics.py", "methods/sampling.py"):
        source(file, add=NEW)
    source(
        "priors/denoiser.py",
        "    def denoise(",
        "    def other(self):\n        return 2\n\n    def denoise(",
    )
    assert changed(before) == set()


def test_comments_docstrings_and_layout_stale_nothing(source):
    before = hashes()
    source(
        "mri/solvers.py",
        "    x = start.clone()\n",
        "    x = (  # a copy\n        start.clone()\n    )\n",
    )
    source(
        "networks/unet.py", '"""Self-attention over all pixels of a slice."""', '"""Attention."""'
    )
    assert changed(before) == set()


def test_what_a_method_uses_stales_it_and_no_other(source):
    before = hashes()
    source("methods/l1_wavelet.py", "momentum = 1.0\n", "momentum = 1.5\n")
    assert changed(before) == {"l1_wavelet"}


def test_a_shared_function_stales_all_that_call_it(source):
    before = hashes()
    source("methods/sampling.py", "    step = sigma_t**2 - sigma_s**2\n", "    step = sigma_t**2\n")
    assert changed(before) == {"diffusion_mbir", "tpdm"}


def test_a_network_stales_what_uses_it(source):
    """Methods without a prior, zero-filled among them, keep their results."""
    before = hashes()
    source("networks/unet.py", "F.avg_pool2d(x, 2)", "F.max_pool2d(x, 2)")
    assert changed(before) == PRIORS | {"training"}


def test_a_representation_stales_the_method_that_is_set_to_it(source):
    before = hashes()
    source(
        "representations/voxels.py",
        "torch.view_as_real(start).clone()",
        "torch.view_as_real(start)",
    )
    assert changed(before) == {"variational"}


def test_a_metric_stales_scores_and_no_reconstruction(source):
    before = hashes()
    source("mri/metrics.py", "K2 = 7, 0.01, 0.03", "K2 = 7, 0.01, 0.04")
    assert changed(before) == {"scores"}


def test_the_forward_model_stales_every_reconstruction(source):
    """AᴴA all that iterate, Aᴴ zero-filled as well."""
    before = hashes()
    source("mri/sense.py", ".mul_(self.mask)", ".mul(self.mask)")
    assert changed(before) == METHODS - {"zero_filled"}
    source("mri/sense.py", "out = torch.zeros_like(kspace[0])", "out = 0 * kspace[0]")
    assert changed(before) == METHODS


def test_looks_and_search_spaces_stale_nothing(source):
    before = hashes()
    source("methods/annealed.py", '"C4"', '"C5"')
    source("methods/annealed.py", '"t_max": (40.0', '"t_max": (30.0')
    assert changed(before) == set()


def test_another_version_of_a_library_stales_what_calls_it(source, monkeypatch):
    """PyWavelets serves the wavelet method alone; torch serves everything."""
    before, version = hashes(), use.version
    for library, stale in (("PyWavelets", {"l1_wavelet"}), ("torch", set(before))):
        monkeypatch.setattr(
            use,
            "version",
            lambda name, other=library: "0" if name == other else version(name),
        )
        use.code_hash.cache_clear()
        assert changed(before) == stale
