"""What a run refuses before any work, so that it does not fail after hours."""

import json
import re
from itertools import chain, product
from typing import NoReturn

from recon import methods
from recon.data import source
from recon.data.opening import file_of
from recon.data.resolution import coarse_shape
from recon.data.section import Dataset
from recon.download import fetch, registry
from recon.errors import ReconError
from recon.mri import masks
from recon.mri.coils import SMALLEST
from recon.mri.masks import Mask
from recon.networks.weights import load_weights
from recon.schema import ROOT
from recon.study import gpus
from recon.study.config import Config, notebook_file


def check(config: Config) -> None:
    """Raises `ReconError` for whatever would fail later, on any machine."""
    config.check_inputs()
    check_downloads(config)
    check_shipped(config)
    check_settings(config)
    check_tuning(config)
    for dataset, section in config.datasets.items():
        check_networks(config, dataset)
        if section.kind not in source.registered():
            for subject in (*section.train, *section.validation, *section.test):
                file_of(section, subject)
        check_masks(config, dataset, section)
    check_notebooks(config)


def check_device(config: Config) -> None:
    """Raises `ReconError` where this machine is to do the work, and lacks the GPUs."""
    if config.device == "cpu":
        return
    try:
        gpus.asked(config.device, config.processes)
    except ReconError as error:
        refuse(config, str(error))


def check_training(config: Config) -> None:
    """Raises `ReconError` for a network without subjects to train on.

    A plan can be made without their names, a run cannot.
    """
    for name, network in config.networks.items():
        trained = network.shipped is None and network.weights_of is None
        if trained and not config.datasets[network.dataset].train:
            cure = f"name them under datasets.{network.dataset}.train"
            refuse(config, f"network {name} has no training subjects; {cure}")


def refuse(config: Config, why: str) -> NoReturn:
    """Raises a `ReconError` that names the configuration."""
    raise ReconError(f"config {config.name}: {why}")


def check_settings(config: Config) -> None:
    """Refuses unknown methods, and settings that they do not take."""
    for method, values in config.methods.items():
        methods.settings_of(method, **values)
    for dataset, section in config.datasets.items():
        for method in section.settings:
            methods.settings_of(method, **config.given(dataset, method))
    for name, comparison in config.comparisons.items():
        on = dict(config.compared(name))
        compared = {method for dataset in on for method in config.methods_in(name, dataset)}
        for setting, values in comparison.choose.items():
            for method, value in product(sorted(compared), values):
                if setting not in vars(methods.lookup(method).settings()):
                    lacking = f"comparison {name}: method {method} has no setting {setting!r}"
                    refuse(config, f"{lacking}; correct 'choose'")
                for dataset in on:
                    methods.varied(method, setting, value, config.given(dataset, method))
        for setting, values in comparison.vary.items():
            having = [m for m in compared if setting in vars(methods.lookup(m).settings())]
            if not having:
                lacking = f"no method of the comparison has a setting {setting!r}"
                refuse(config, f"{lacking}; correct 'vary'")
            for dataset, method, value in product(on, having, values):
                methods.varied(method, setting, value, config.given(dataset, method))


def check_tuning(config: Config) -> None:
    """Refuses a dataset whose methods must be tuned, and that has no volume to tune them on."""
    for dataset, section in config.datasets.items():
        tuned = config.tuned_on(dataset)
        if tuned and not (section.validation or config.tuning.shipped):
            lacking = f"dataset {dataset} has no validation volume to tune {', '.join(tuned)} on"
            refuse(config, f"{lacking}; name one, or another dataset under settings_of")


def check_networks(config: Config, dataset: str) -> None:
    """Refuses a dataset without a network that one of its methods needs."""
    for method in config.methods_on(dataset):
        for need in methods.lookup(method).needs.values():
            if config.matched(dataset, need) is None:
                what = "a prior" if need in methods.PRIORS else f"a network of kind {need}"
                where = f"method {method} needs {what} for dataset {dataset}"
                refuse(config, f"{where}; add one under networks")


def check_masks(config: Config, dataset: str, section: Dataset) -> None:
    """Refuses a mask that cannot be drawn at some acceleration of a dataset."""
    known = section.kind in source.registered()
    shape = section.shape or (registry.lookup(section.kind).shape if known else None)
    used = config.methods_on(dataset)
    if shape is None or not used:
        return
    mask, plane = config.mask_of(dataset), coarse_shape(shape, section.voxel_factor)[1:]
    run = [at(dataset, method) for at in (config.reported_at, config.tuned_at) for method in used]
    for acceleration in set(chain(config.accelerations_of(dataset), *run)):
        if config.maps == "calibration" and not enough(mask, plane):
            size = "×".join(map(str, mask.calibration))
            least = f"ESPIRiT needs {SMALLEST} along each axis"
            refuse(config, f"dataset {dataset}: mask.calibration is {size}, but {least}")
        # A Gaussian mask is possible where a Poisson disc is, and takes 10 ms, not 700.
        kind = "gaussian_2d" if mask.kind == "poisson_disc" else mask.kind
        masks.make(kind, plane, acceleration, mask.calibration, mask.seed)


def enough(mask: Mask, plane: tuple[int, int]) -> bool:
    """Whether maps can be estimated from the centre that masks of ``plane`` keep."""
    kept = mask.calibration[0], plane[1] if mask.kind.endswith("_1d") else mask.calibration[1]
    return all(c >= min(SMALLEST, n) for c, n in zip(kept, plane, strict=True))


def check_shipped(config: Config) -> None:
    """Refuses shipped weights of another recipe, and a shipped tuning that lacks a method."""
    for name, section in config.networks.items():
        if section.shipped is not None:
            check_weights(config, name)
    if config.tuning.shipped is None:
        return
    records = json.loads((ROOT / config.tuning.shipped).read_text())
    for dataset, method in ((d, m) for d in config.datasets for m in config.tuned_on(d)):
        best = records.get(dataset, {}).get(method, {}).get("best", {})
        if lacking := [r for r in config.tuned_at(dataset, method) if f"{r:g}" not in best]:
            what = f"no record of {method} on {dataset} at R = {lacking[0]:g}"
            file = config.tuning.shipped
            refuse(config, f"{file} has {what}; set 'tuning.shipped: null' to tune")


def check_weights(config: Config, name: str) -> None:
    """Refuses shipped weights that were trained otherwise than the configuration says."""
    told = config.told(name)
    section = config.networks[name].model_copy(update=told)
    trained = load_weights(ROOT / section.shipped)[1].get("training", {})
    stated = section.model_fields_set - {"dataset", "shipped", "about"}
    said = section.model_dump(mode="json", include=stated)
    said = {key: value for key, value in said.items() if key not in told or key in trained}
    network = section.network
    fixed = network.model_fields_set - set(network.free)
    said["network"] = network.model_dump(mode="json", include=fixed)
    kept = trained.get("network", {}).items()
    trained["network"] = {key: value for key, value in kept if key in said["network"]}
    for key in (k for k in said if said[k] != trained.get(k)):
        how = f"was trained with {key} {trained.get(key)}, the configuration says {said[key]}"
        file = f"network {name}: {section.shipped}"
        refuse(config, f"{file} {how}; 'shipped: null' trains it anew")


def check_notebooks(config: Config) -> None:
    """Refuses a notebook without its comparison, and a comparison that no notebook shows."""
    for notebook in config.notebooks:
        text = notebook_file(notebook).read_text()
        for name in re.findall(r'(?:comparison\(|tables\[)\\"(\d\d_\w+)\\"', text):
            if name not in config.comparisons:
                shows = f"notebook {notebook} shows the comparison {name}"
                refuse(config, f"{shows}; add it under comparisons")
    for name in config.comparisons:
        if not any(name in config.shown_in(notebook) for notebook in config.notebooks):
            cure = "add one that starts with the same number"
            refuse(config, f"no notebook shows the comparison {name}; {cure}")


def check_downloads(config: Config) -> None:
    """Refuses datasets of the registry that are not all here.

    The message has a line for each: what is missing, how large it is, and how to get it.
    """
    lines, seen = [], []
    for name, section in config.datasets.items():
        subjects = [str(s) for s in (*section.train, *section.validation, *section.test)]
        elsewhere = section.kind not in source.registered() or section.path is not None
        if elsewhere or (section.kind, subjects) in seen:
            continue
        seen.append((section.kind, subjects))  # the same files at other voxel sizes: named once
        lacking = fetch.missing(section.kind, subjects)
        if lacking.files:
            absent = f"{len(lacking.files)} of {len(subjects)} files missing in {section.folder}"
            extent = fetch.extent(section.kind, lacking)
            lines.append(f"dataset {name}: {absent}, {extent}; {lacking.how}")
    if lines:
        refuse(config, f"\nError: config {config.name}: ".join(lines))
