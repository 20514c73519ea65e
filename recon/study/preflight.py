"""What is refused before any work, so that it does not fail after hours: missing data, unknown
settings, impossible masks, no GPU.
"""

import json
import re
from itertools import chain, product

import torch

from recon import methods
from recon.data import source
from recon.data.opening import file_of
from recon.data.resolution import coarse_shape
from recon.download import fetch, registry
from recon.errors import ReconError
from recon.mri import masks
from recon.networks.weights import load_weights
from recon.schema import ROOT
from recon.study.config import Config


def check(config: Config, here: bool = True) -> None:
    """Refuses, before any work, what would fail after hours: missing inputs, unknown methods or
    settings, impossible masks, no GPU.

    ``here`` says that the work is done on this machine, and not by jobs that a cluster sends
    elsewhere.
    """
    config.check_inputs()
    check_downloads(config)
    check_shipped(config)
    if here and config.device != "cpu" and not torch.cuda.is_available():
        raise ReconError(
            f"config {config.name}: device is {config.device}, but no GPU is visible; set 'device: cpu'"
        )
    for comparison in config.comparisons.values():
        for setting, values in comparison.vary.items():
            having = [
                m
                for m in comparison.methods or config.methods
                if setting in vars(methods.lookup(m).settings())
            ]
            if not having:
                raise ReconError(
                    f"config {config.name}: no method of the comparison has a setting {setting!r}; correct 'vary'"
                )
            for method, value in product(having, values):
                methods.varied(method, setting, value)
    for method, values in config.methods.items():
        methods.settings_of(method, **values)
    for dataset, section in config.datasets.items():
        for method in config.methods_on(dataset):
            for need in methods.lookup(method).needs.values():
                if config.matched(dataset, need) is None:
                    what = "a prior" if need == "denoiser" else f"a network of kind {need}"
                    raise ReconError(
                        f"config {config.name}: method {method} needs {what} for dataset {dataset}; add one under networks"
                    )
        if section.kind not in source.registered():
            for subject in (*section.train, *section.validation, *section.test):
                file_of(section, subject)
        shape = section.shape or (
            registry.lookup(section.kind).shape if section.kind in source.registered() else None
        )
        if shape is not None and config.methods_on(dataset):
            mask, plane = config.mask_of(dataset), coarse_shape(shape, section.voxel_factor)[1:]
            shown = [
                c.accelerations_for(dataset) or []
                for name, c in config.comparisons.items()
                if dataset in dict(config.compared(name))
            ]
            for acceleration in {
                *config.accelerations_of(dataset),
                *config.tuned_at(dataset),
                *chain(*shown),
            }:
                masks.make(mask.kind, plane, acceleration, mask.calibration, mask.seed)
    check_notebooks(config)


def check_shipped(config: Config) -> None:
    """Refuses shipped weights that were trained otherwise than the configuration says, and a
    shipped tuning that lacks a method.
    """
    for name, section in config.networks.items():
        if section.shipped is None:
            continue
        trained = load_weights(ROOT / section.shipped)[1].get("training", {})
        said = section.model_dump(
            mode="json", include=section.model_fields_set - {"dataset", "shipped"}
        )
        said["network"] = section.network.model_dump(
            mode="json", include=section.network.model_fields_set
        )
        trained["network"] = {
            key: value
            for key, value in trained.get("network", {}).items()
            if key in said["network"]
        }
        for key in (k for k in said if said[k] != trained.get(k)):
            how = f"was trained with {key} {trained.get(key)}, the configuration says {said[key]}"
            raise ReconError(
                f"config {config.name}: network {name}: {section.shipped} {how}; 'shipped: null' trains it anew"
            )
    if config.tuning.shipped is None:
        return
    records = json.loads((ROOT / config.tuning.shipped).read_text())
    for dataset, method in ((d, m) for d in config.datasets for m in config.methods_on(d)):
        best = records.get(dataset, {}).get(method, {}).get("best", {})
        if lacking := [r for r in config.tuned_at(dataset) if f"{r:g}" not in best]:
            what = f"{config.tuning.shipped} has no record of {method} on {dataset} at R = {lacking[0]:g}"
            raise ReconError(f"config {config.name}: {what}; set 'tuning.shipped: null' to tune")


def check_notebooks(config: Config) -> None:
    """Refuses a notebook whose comparison is not configured, and a comparison that no notebook
    shows.
    """
    for notebook in config.notebooks:
        text = (ROOT / "notebooks" / f"{notebook}.ipynb").read_text()
        for name in re.findall(r'comparison\(\\"(\w+)\\"', text):
            if name not in config.comparisons:
                raise ReconError(
                    f"config {config.name}: notebook {notebook} shows the comparison {name}; add it under comparisons"
                )
    for name in config.comparisons:
        if not any(name in config.shown_in(notebook) for notebook in config.notebooks):
            raise ReconError(
                f"config {config.name}: no notebook shows the comparison {name}; add one whose number it starts with"
            )


def check_downloads(config: Config) -> None:
    """Refuses datasets of the registry that are not all here: one line for each, with what is
    missing, its size, and how to get it.
    """
    lines, seen = [], []
    for name, section in config.datasets.items():
        subjects = [str(s) for s in (*section.train, *section.validation, *section.test)]
        if (
            section.kind not in source.registered()
            or section.path is not None
            or (section.kind, subjects) in seen
        ):
            continue
        seen.append((section.kind, subjects))  # the same files at other voxel sizes are named once
        lacking = fetch.missing(section.kind, subjects)
        if lacking.files:
            absent = f"{len(lacking.files)} of {len(subjects)} files missing in {section.folder}"
            lines.append(
                f"dataset {name}: {absent}, {fetch.extent(section.kind, lacking)}; {lacking.how}"
            )
    if lines:
        raise ReconError(f"config {config.name}: " + f"\nError: config {config.name}: ".join(lines))
