import pytest
import yaml

from recon import ReconError
from recon.data.section import Dataset
from recon.download import registry
from recon.schema import ROOT
from recon.study.config import CONFIGS, Config, load
from recon.study.jobs import Job, inputs
from recon.study.preflight import check_settings
from recon.study.workspace import Workspace


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_configuration_is_valid_and_named_after_its_file(path, monkeypatch):
    """With the AHEAD brains listed, as after their fetch; else one line says what to run."""
    found = registry.lookup("ahead")
    if path.stem == "paper_7t":
        with pytest.raises(ReconError, match="run: python -m recon fetch ahead"):
            load(path.stem)
    splits = found.dataverse.splits([f"{n:03}" for n in range(1, 78)], "")
    ahead = found.model_copy(update={"splits": splits})
    monkeypatch.setattr(
        registry, "lookup", lambda name: ahead if name == "ahead" else registry.datasets()[name]
    )
    config = load(path.stem)
    assert config.name == path.stem
    assert all(
        (ROOT / "notebooks" / f"{notebook}.ipynb").is_file() for notebook in config.notebooks
    )
    for name in config.comparisons:
        assert any(name in config.shown_in(notebook) for notebook in config.notebooks), (
            f"no notebook shows {name}"
        )


@pytest.fixture
def smoke():
    return yaml.safe_load((CONFIGS / "smoke.yaml").read_text())


def refused(tmp_path, values) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    with pytest.raises(ReconError) as error:
        load(path).check_inputs()
    assert "\n" not in str(error.value) and (
        "mine.yaml" in str(error.value) or "config smoke" in str(error.value)
    )
    return str(error.value)


def test_unknown_key_is_named_with_its_place(tmp_path, smoke):
    smoke["networks"]["knee"]["epochs"] = 3
    message = refused(tmp_path, smoke)
    assert "networks.knee.epochs" in message and "remove it" in message


def test_settings_of_a_dataset_that_no_method_takes_are_refused(tmp_path, smoke):
    smoke["datasets"]["knee"]["settings"] = {"landweber": {}}
    assert "'landweber', which is not under methods" in refused(tmp_path, smoke)
    for wrong in ({"wait": 1}, {"weight": -1}):
        smoke["datasets"]["knee"]["settings"] = {"annealed": wrong}
        with pytest.raises(ReconError, match=next(iter(wrong))):
            check_settings(Config.model_validate(smoke))


def test_a_subject_in_two_splits_is_refused(tmp_path, smoke):
    smoke["datasets"]["knee"]["test"].append(smoke["datasets"]["knee"]["train"][0])
    assert "more than one of train, validation and test" in refused(tmp_path, smoke)


def test_a_number_written_as_text_is_refused(tmp_path, smoke):
    """YAML reads 1e-3 as a string, which pydantic would coerce.

    Anything else that is no number is named.
    """
    smoke["networks"]["knee"]["learning_rate"] = "fast"
    assert "networks.knee.learning_rate" in refused(tmp_path, smoke)


def test_missing_section_of_a_prior(tmp_path, smoke):
    smoke["networks"]["knee"]["dataset"] = "elbow"
    assert "'elbow'" in refused(tmp_path, smoke)


@pytest.mark.parametrize(
    ("text", "words"),
    [("a: [1", "not valid YAML"), ("- 1", "valid dictionary"), ("", "valid dictionary")],
)
def test_not_a_configuration(tmp_path, text, words):
    assert words in refused(tmp_path, text)


def test_missing_files_are_named_before_any_work(tmp_path, smoke):
    smoke["networks"]["knee"]["shipped"] = "data/priors/none.safetensors"
    assert "data/priors/none.safetensors is missing" in refused(tmp_path, smoke)


def test_missing_environment_variable(tmp_path, smoke, monkeypatch):
    monkeypatch.delenv("NOWHERE", raising=False)
    del smoke["datasets"]["knee"]["anatomy"]
    smoke["datasets"]["knee"] |= {"kind": "folder", "path": "${NOWHERE}", "voxel": [1, 1, 1]}
    del smoke["datasets"]["slices"]["options"], smoke["datasets"]["knee_2x_brain"]["anatomy"]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(smoke))
    with pytest.raises(ReconError, match="environment variable NOWHERE is not set"):
        load(path).check_inputs()
    monkeypatch.setenv("NOWHERE", str(tmp_path / "absent"))
    with pytest.raises(ReconError, match="no folder .*absent"):
        load(path).check_inputs()


def test_unknown_configuration_lists_the_known():
    with pytest.raises(ReconError, match="demo.*paper.*smoke"):
        load("dmeo")


def test_a_dataset_of_the_registry_takes_its_subjects_from_there(tmp_path, smoke, monkeypatch):
    """Subjects that the configuration lists take precedence over the registry's.

    The folder is below DATA_ROOT unless a path is given.
    """
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    one = Dataset(kind="stanford", label="Stanford")
    assert [len(one.train), len(one.validation), len(one.test)] == [
        13,
        2,
        4,
    ] and one.folder == tmp_path / "stanford"
    few = Dataset(
        kind="stanford", label="Stanford", test=one.test[:1], path=str(tmp_path / "elsewhere")
    )
    assert (
        few.test == one.test[:1] and few.train == one.train and few.folder == tmp_path / "elsewhere"
    )
    with pytest.raises(ValueError, match="more than one of"):
        Dataset(kind="stanford", label="Stanford", test=one.train[:1])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train": ["f1:3"], "test": ["f1:4"]}, "the file of f1"),
        ({"train": ["multicoil_val/f2"], "test": ["f2"]}, "more than one of"),
        ({"noise": 0.5}, "fastmri_knee has no noise"),
        ({"shape": [160, 160, 1]}, "has no shape"),
        ({"voxel_factor": 0.5}, "expected 1 or more"),
    ],
)
def test_leaks_and_keys_without_effect_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        Dataset(
            **(
                {
                    "kind": "fastmri_knee",
                    "label": "x",
                    "train": [],
                    "validation": ["v"],
                    "test": ["t"],
                }
                | changes
            )
        )


def test_two_series_of_one_exam_are_one_person():
    with pytest.raises(ValueError, match="show one person"):
        Dataset(
            kind="calgary",
            label="x",
            train=["e15802s13_P50176"],
            validation=["e15802s3_P42496"],
            test=["x"],
        )


def test_a_dataset_like_another_differs_in_what_it_says(tmp_path, smoke):
    smoke["datasets"]["knee_2x"] = {"like": "knee", "label": "coarse", "voxel_factor": 2}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(smoke))
    found = load(path).datasets
    assert found["knee_2x"] == found["knee"].model_copy(
        update={"label": "coarse", "voxel_factor": 2.0}
    )
    smoke["datasets"]["knee_2x"]["like"] = "elbow"
    assert "like 'elbow'" in refused(tmp_path, smoke)


@pytest.mark.parametrize("kind", ["datasets", "methods", "priors"])
def test_a_comparison_names_what_there_is(tmp_path, smoke, kind):
    smoke["comparisons"] = {"12_resolution_shift": {kind: ["none"]}}
    assert (
        f"names 'none', which is not under {'networks' if kind == 'priors' else kind}"
        in refused(tmp_path, smoke)
    )


def test_accelerations_of_a_comparison_by_dataset(tmp_path, smoke):
    smoke["comparisons"] = {"12_resolution_shift": {"accelerations": {"knee": [3]}}}
    found = Config(**smoke).comparisons["12_resolution_shift"]
    assert found.accelerations_for("knee") == [3] and found.accelerations_for("knee_2x") is None
    smoke["comparisons"]["12_resolution_shift"]["accelerations"] = {"elbow": [3]}
    assert "names 'elbow', which is not under datasets" in refused(tmp_path, smoke)
    smoke["comparisons"]["12_resolution_shift"]["accelerations"] = {"knee": [0.5]}
    assert "accelerations must be at least 1" in refused(tmp_path, smoke)


def test_the_matched_prior_is_not_the_diverse_one(smoke):
    smoke["networks"] = {"diverse": smoke["networks"]["knee"] | {"factors": [0.1, 1.0]}} | smoke[
        "networks"
    ]
    assert Config(**smoke).prior_of("knee") == "knee"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"factors": [1.0, 0.3]}, "the smaller first"),
        ({"factors": [0.3, 2.0]}, r"in \(0, 1\]"),
        ({"held_out": [0.4, 0.6]}, "inside factors"),
        ({"factors": [0.1, 1.0], "held_out": [0.65, 0.4]}, "inside factors"),
        ({"steps": 0}, "greater than or equal to 1"),
    ],
)
def test_impossible_training_is_refused(smoke, changes, words):
    smoke["networks"]["knee"] |= changes
    with pytest.raises(ValueError, match=words):
        Config(**smoke)


def test_likeness_goes_through_several_datasets_in_any_order(smoke):
    datasets = {"c": {"like": "b", "coils": 2}, "b": {"like": "knee", "noise": 0.5}} | smoke[
        "datasets"
    ]
    found = Config(**smoke | {"datasets": datasets}).datasets["c"]
    assert (found.coils, found.noise, found.anatomy) == (2, 0.5, "knee")
    with pytest.raises(ValueError, match="like itself"):
        Config(**smoke | {"datasets": datasets | {"b": {"like": "c"}}})


def test_a_configuration_may_be_like_another(tmp_path, smoke):
    """It changes the innermost sections only, over any number of files, but not in a circle.

    With notebooks of its own, it has those comparisons that they show.
    """
    base, middle, last = (tmp_path / f"{name}.yaml" for name in ("base", "middle", "last"))
    base.write_text(yaml.safe_dump(smoke))
    middle.write_text(yaml.safe_dump({"like": str(base), "networks": {"knee": {"steps": 7}}}))
    last.write_text(yaml.safe_dump({"like": str(middle), "datasets": {"knee": {"noise": 0.3}}}))
    found, model = load(last), load(base)
    assert found.networks["knee"].steps == 7 and found.datasets["knee_2x"].noise == 0.3
    assert found.networks["knee"].batch == model.networks["knee"].batch
    assert found.comparisons == model.comparisons and model.networks["knee"].steps != 7
    last.write_text(yaml.safe_dump({"like": str(base), "notebooks": ["16_kernels"]}))
    taken = [name for name in model.comparisons if name.startswith("16_")]
    assert list(load(last).comparisons) == taken and len(taken) < len(model.comparisons)
    base.write_text(yaml.safe_dump({"like": str(last)}))
    with pytest.raises(ReconError, match="cannot be like itself"):
        load(last)


def test_a_comparison_may_run_other_methods_on_each_dataset_and_fewer_volumes(smoke):
    config = Config.model_validate(smoke)
    assert config.methods_in("15_larger_voxels", "knee") == ["variational"]
    assert "field_gaussians" in config.methods_in("15_larger_voxels", "knee_by_2x")
    assert config.compared("15_larger_voxels") == [("knee", "200"), ("knee_by_2x", "200")]
    assert "field_gaussians" not in config.tuned_on("knee")
    smoke["comparisons"]["15_larger_voxels"]["methods"]["nowhere"] = ["variational"]
    with pytest.raises(ValueError, match="names 'nowhere', which is not under datasets"):
        Config.model_validate(smoke)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"weights_of": "nobody"}, "not under networks"),
        ({"weights_of": "knee_2x_bilinear"}, "has no weights of its own"),
        ({"shipped": "data/priors/demo_knee.safetensors"}, "has no weights of its own"),
        ({"weights_of": "knee"}, "is built otherwise than knee"),
    ],
)
def test_weights_are_shared_by_networks_that_are_built_alike(smoke, changes, words):
    smoke["networks"]["knee_2x_bilinear"] |= changes
    with pytest.raises(ValueError, match=words):
        Config.model_validate(smoke)


@pytest.mark.parametrize("start", ["knee_2x_stack", "knee_gap"])
def test_training_goes_on_from_a_network_before_it(smoke, start):
    assert smoke["networks"]["knee_2x_stack"]["starts_from"] == "knee_2x"
    smoke["networks"]["knee_2x_stack"]["starts_from"] = start
    with pytest.raises(ValueError, match="does not stand before it"):
        Config.model_validate(smoke)


def test_weights_that_training_goes_on_from_are_a_network_s_or_a_file(smoke, tmp_path):
    place = Workspace(Config.model_validate(smoke), root=tmp_path)
    assert place.weights_path("knee_2x") == place.network_path("knee_2x")
    assert place.weights_path("a/b.safetensors") == tmp_path / "a/b.safetensors"
    job = Job("network", ("knee_2x_stack",), place.network_path("knee_2x_stack"))
    assert place.network_path("knee_2x") in inputs(place, job)


def test_weights_to_go_on_from_that_are_not_there_are_refused(smoke):
    smoke["networks"]["knee"]["starts_from"] = "data/priors/nowhere.safetensors"
    with pytest.raises(ReconError, match="file data/priors/nowhere.safetensors is missing"):
        Config.model_validate(smoke).check_inputs()


def test_shared_weights_lie_where_their_owner_has_them(smoke, tmp_path):
    config = Config.model_validate(smoke)
    place = Workspace(config, root=tmp_path)
    assert place.network_path("knee_2x_bilinear") == place.network_path("knee_2x_fourier")


@pytest.mark.parametrize(
    "network, words",
    [
        ({"kind": "infinite_unet", "taps": 41, "reference": 40}, "larger than slices of 40 pixels"),
        ({"kind": "unet", "resizing": "bilinear"}, "resizing"),
        ({"kind": "infinite_unet", "resizing": "cubic"}, "resizing"),
    ],
)
def test_kernels_that_cannot_be_are_refused(smoke, tmp_path, network, words):
    smoke["networks"]["knee"]["network"] = network
    assert words in refused(tmp_path, smoke)


def test_a_field_of_nothing_is_refused(smoke, tmp_path):
    nothing = {"representation": {"kind": "gaussians", "per_voxel": 0}}
    smoke["methods"]["field_gaussians"] = nothing
    with pytest.raises(ReconError, match="field_gaussians: .*per_voxel = 0"):
        check_settings(Config.model_validate(smoke))


def test_a_dataset_takes_networks_and_settings_of_another():
    """Its own networks come first. Settings are those of one dataset, tuned for both."""
    config = load("smoke")
    assert config.matched("knee_2x_brain", "denoiser") == "knee_2x"
    assert config.matched("knee_2x_brain", "modl") == "knee_2x_modl"
    assert config.matched("knee_2x_brain", "stack denoiser") == "knee_2x_stack"
    assert config.matched("knee", "stack denoiser") == "knee"  # where there is none of stacks
    assert config.tuned_on("knee_2x_brain") == []
    assert "grappa" in config.tuned_on("knee_2x")
    assert config.tuned_as("knee_2x_brain") == "knee_2x"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("networks_of", "nowhere", "networks_of leads to 'nowhere'"),
        ("networks_of", "knee_2x_brain", "or to itself"),
        ("settings_of", "slices", "is not tuned itself"),
    ],
)
def test_a_lender_must_be_there(tmp_path, smoke, key, value, words):
    smoke["datasets"]["slices"]["settings_of"] = "knee"
    smoke["datasets"]["knee_2x_brain"][key] = value
    assert words in refused(tmp_path, smoke)


def test_settings_for_an_anatomy_away_from_home_are_chosen_at_home():
    """Nobody has references of a new anatomy."""
    config = load("r3dm")
    assert config.tuned_as("gaussian_brain") == "gaussian"
    assert config.chosen_on("gaussian_brain") == config.datasets["gaussian"].validation[:1]
