"""A result is stale when something it uses has changed, and only then."""

import shutil
from dataclasses import replace
from functools import partial

import pytest

from recon import methods
from recon.data.section import Dataset
from recon.methods.ranges import decades
from recon.schema import ROOT
from recon.study import provenance, use
from recon.study.config import load


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A copy of the package that may be edited: gives what edits a file and forgets the hashes."""
    shutil.copytree(ROOT / "recon", tmp_path / "recon")
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    for module in (use, provenance):
        monkeypatch.setattr(module, "ROOT", tmp_path)

    def forget() -> None:
        uses = use.parse, use.use, use.code_hash, use.library_version
        for cached in (*uses, provenance.file_code):
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
    used = {name: [prior] if methods.takes_prior(name) else [] for name in config.methods}
    used |= {name: [config.networks[f"knee_2x_{name[-4:]}"]] for name in SUPERVISED}
    settings = {n: vars(methods.settings_of(n, **v)) for n, v in config.methods.items()}
    out = {n: provenance.reconstruction_code(n, settings[n], used[n]) for n in config.methods}
    out |= {"scores": provenance.scoring_code(), "training": provenance.training_code(prior)}
    out |= {"table": provenance.table_code(), "figures": provenance.figure_code()}
    out |= {"search": str(provenance.tuning_code(config, "zero_filled", "knee"))}
    measured = Dataset(kind="stanford", label="", train=[], validation=["a"], test=["b"])
    out |= {"measured volumes": provenance.preparation_code(measured)}
    return out | {"volumes": provenance.preparation_code(config.datasets["knee"])}


def changed(before: dict[str, str]) -> set[str]:
    return {name for name, value in hashes().items() if value != before[name]}


FIELDS = {name for name in methods.names() if name.startswith("field_")}
PRIORS = {"tpdm_dds", "dds", "diffusion_mbir", "tpdm", "variational", "annealed"} | FIELDS
PRIORS |= {"infusion", "infusion_voxels", "r3dm"}
SUPERVISED = {"fastmri_unet", "modl"}
METHODS = PRIORS | SUPERVISED | {"zero_filled", "cg_sense", "l1_wavelet", "inr", "inr_wavelet"}
METHODS |= {"grappa"}
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
    assert changed(before) == {"variational", "field_trilinear", "field_nearest", "infusion_voxels"}


def test_a_metric_stales_scores_and_no_reconstruction(source):
    before = hashes()
    source("mri/metrics.py", "K2 = 7, 0.01, 0.03", "K2 = 7, 0.01, 0.04")
    assert changed(before) == {"scores"}


def test_the_forward_model_stales_every_reconstruction(source):
    """AᴴA all that iterate, Aᴴ the others as well."""
    before = hashes()
    source("mri/sense.py", ".mul_(self.mask)", ".mul(self.mask)")
    assert changed(before) == METHODS - {"zero_filled", "grappa", "fastmri_unet"}
    source(
        "mri/sense.py",
        "torch.zeros_like(self.modulated_maps[:, 0])",
        "0 * self.modulated_maps[:, 0]",
    )
    assert changed(before) == METHODS | {"search"}  # which is that of zero-filled


def test_a_metric_that_tuning_does_not_read_leaves_tuning_alone(source):
    """Its trials keep one number each, and would all have to be computed again."""
    before = hashes()
    source("mri/metrics.py", "def ssim(", "def ssim(", add="")
    source("mri/metrics.py", '"ssim": ssim(', '"ssim": 2 * ssim(')
    assert changed(before) == {"scores"}


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        ("mri/problem.py", 'maps == "full"', 'maps != "full"', METHODS | {"search"}),
        ("mri/problem.py", "mask & prepared.mask", "mask", METHODS | {"search"}),
        ("networks/weights.py", "t.float() for", "2 * t.float() for", PRIORS | SUPERVISED),
        (
            "mri/masks.py",
            "round(math.prod(shape) / R)",
            "int(math.prod(shape) / R)",
            SUPERVISED | {"table", "search"},  # their training draws masks
        ),
        ("study/inputs.py", "zlib.crc32(", "1 + zlib.crc32(", {"table", "search", "figures"}),
        ("study/study.py", '"trained_at": ', '"trained_on": ', {"table", "search", "figures"}),
        ("study/tuning.py", "best = max(", "best = min(", {"search", "figures"}),
        ("methods/search.py", "(trials + 1) // 2", "trials // 3", {"search"}),
        ("phantoms/coils.py", "0.35 * (fov", "0.36 * (fov", {"volumes"}),
        ("data/stanford.py", "def stanford_scan(", "def stanford_scan(", set()),
        ("data/section.py", "virtual_coils: int | None", "virtual_coils: float | None", set()),
        ("download/registry.py", "def data_root(", "def data_root_(", set()),
        ("methods/annealed.py", "decades(40, 300", "decades(30, 300", set()),
    ],
)
def test_what_each_edit_stales(source, file, old, new, stale):
    """What results follow from, beside a method's own code; nothing else is touched."""
    before = hashes()
    source(file, old, new)
    assert changed(before) == stale


def test_a_wider_search_space_is_searched_again(monkeypatch):
    config, found = load("smoke"), methods.lookup("annealed")
    before = provenance.tuning_code(config, "annealed", "knee")
    wider = replace(found, space=found.space | {"t_max": decades(30, 300)})
    monkeypatch.setattr(methods, "lookup", lambda name: wider)
    assert provenance.tuning_code(config, "annealed", "knee") != before


def test_another_look_of_a_method_draws_figures_again(monkeypatch):
    before, lookup = provenance.figure_code(), methods.lookup
    monkeypatch.setattr(methods, "lookup", lambda name: replace(lookup(name), color="C0"))
    assert provenance.figure_code() != before


def test_a_new_field_of_a_record_stales_nothing(source):
    before = hashes()
    source("methods/__init__.py", "    label: str", "    paper: str = ''\n    label: str = ''")
    source(
        "networks/trained.py", "    seed: Seed = 0\n", "    seed: Seed = 0\n    note: str = ''\n"
    )
    assert changed(before) == set()


def test_a_root_that_is_not_found_is_refused(source):
    """Else it would hash to nothing, and never be stale."""
    with pytest.raises(ValueError, match="no definition"):
        use.code_hash("recon.mri.masks:no_such_mask")
    with pytest.raises(ValueError, match="no definition"):
        use.code_hash(use.root(lambda x: x))
    assert use.root(partial(partial(hashes))) == f"{__name__}:hashes"


def test_another_version_of_a_library_stales_what_calls_it(source, monkeypatch):
    """PyWavelets serves the two wavelet methods alone; torch serves everything."""
    before, version = hashes(), use.version
    wavelets = {"l1_wavelet", "inr_wavelet"}
    for library, stale in (("PyWavelets", wavelets), ("torch", set(before) - {"figures"})):
        monkeypatch.setattr(
            use,
            "version",
            lambda name, other=library: "0" if name == other else version(name),
        )
        use.code_hash.cache_clear()
        use.library_version.cache_clear()
        assert changed(before) == stale


def test_a_notebook_that_computes_is_stale_with_what_it_names(source):
    """Those that show tables alone follow from the tables."""
    config, names = load("smoke"), ("04_fields", "10_methods_without_shift")
    before = [provenance.notebook_code(name, config) for name in names]
    source("representations/gaussians.py", "self.grown = 0", "self.grown = 0 + 0")
    after = [provenance.notebook_code(name, config) for name in names]
    assert after[0] != before[0] and after[1] == before[1]


def test_how_weights_are_used_and_what_chooses_settings_is_part_of_a_table():
    """Snakemake sees files, by their dates, and neither how they are used nor who chose."""
    config = load("smoke")
    shared = config.networks["knee_2x_bilinear"]
    network = shared.network.model_copy(update={"resizing": "padding"})
    other = shared.model_copy(update={"network": network})
    both = config, config.model_copy(update={"networks": {"knee_2x_bilinear": other}})
    assert len({str(provenance.networks_used(c, ["knee_2x_bilinear"])) for c in both}) == 2
    tuning = config.tuning.model_copy(update={"subjects": 0})
    fewer = config.model_copy(update={"tuning": tuning})
    for name, depends in (("22_distances", True), ("10_methods_without_shift", False)):
        found = {str(provenance.chosen_from(c, name, "slices")) for c in (config, fewer)}
        assert len(found) == 1 + depends
