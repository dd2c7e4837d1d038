"""The settings of a training run: their limits, their files, and what is filled in."""

import sys
import tomllib
from dataclasses import FrozenInstanceError, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osnet_encoder.patches import COLOR_ORDERS
from osnet_encoder.training import objective
from osnet_encoder.training.config import (
    LOSSES,
    PLAIN_LOSSES,
    RESUMABLE,
    TrainConfig,
    check_value,
    differences,
    value_kind,
)
from osnet_encoder.training.config_files import from_toml, read_config, to_toml
from osnet_encoder.training.patch_store import CACHES
from osnet_encoder.training.presets import AUGMENTATION, PATCH_SIZES, patch_size, resolve
from osnet_encoder.variants import VARIANTS

FIELDS = {one.name: one for one in fields(TrainConfig)}


def labelled(**settings):
    return TrainConfig(labels=("labels.csv",), **settings)


def written(folder, text, name="train.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_setting_says_what_it_is_and_its_default_is_within_its_limits():
    for name, one in FIELDS.items():
        assert one.metadata["help"] and one.metadata["group"], name
        assert check_value(name, one.default) == one.default


def test_only_what_is_left_out_by_default_may_be_none():
    for name, one in FIELDS.items():
        assert value_kind(name)[2] == (one.default is None), name


def test_settings_of_one_group_stand_together():
    groups = [one.metadata["group"] for one in FIELDS.values()]
    assert len(set(groups)) == sum(a != b for a, b in zip(groups, [None, *groups], strict=False))


def test_the_choices_are_those_of_the_modules_that_act_on_them():
    assert FIELDS["arch"].metadata["choices"] == tuple(VARIANTS)
    assert FIELDS["color_order"].metadata["choices"] == COLOR_ORDERS
    assert set(LOSSES) == {*PLAIN_LOSSES, *objective._METRIC}
    assert set(FIELDS["cache"].metadata["choices"]) == set(CACHES)
    assert set(FIELDS["task"].metadata["choices"]) == set(PATCH_SIZES) == set(AUGMENTATION)


def test_the_kind_of_a_setting_is_that_of_its_annotation():
    assert value_kind("labels") == (str, True, False)
    assert value_kind("milestones") == (int, True, False)
    assert value_kind("patch_height") == (int, False, True)
    assert value_kind("backbone_lr") == (float, False, True)
    assert value_kind("amsgrad") == (bool, False, False)


def test_a_config_stays_as_it_was_made():
    with pytest.raises(FrozenInstanceError):
        TrainConfig().lr = 1.0


def test_values_come_to_be_of_the_setting_s_own_type():
    config = TrainConfig(labels=["a.csv"], lr=1, schedule="steps", milestones=[20, 40])
    assert (config.labels, config.lr, config.milestones) == (("a.csv",), 1.0, (20, 40))
    assert isinstance(config.lr, float)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": "0.1"}, "lr must be a number, found '0.1'"),
        ({"lr": True}, "lr must be a number, found True"),
        ({"lr": 0}, "lr must be above 0, found 0.0"),
        ({"lr": float("nan")}, "lr must be finite, found nan"),
        ({"clip": float("inf")}, "clip must be finite, found inf"),
        ({"epochs": 2.0}, "epochs must be a whole number, found 2.0"),
        ({"epochs": True}, "epochs must be a whole number, found True"),
        ({"epochs": 0}, "epochs must be at least 1, found 0"),
        ({"ema": 1}, "ema must be below 1, found 1.0"),
        ({"flip": 1.5}, "flip must be at most 1, found 1.5"),
        ({"amsgrad": 1}, "amsgrad must be true or false, found 1"),
        ({"name": 7}, "name must be text, found 7"),
        ({"column": ""}, "column must not be empty"),
        ({"labels": "a.csv"}, "labels must be a list of texts, found 'a.csv'"),
        ({"labels": ["a.csv", 1]}, r"labels must be a list of texts, found \['a.csv', 1\]"),
        ({"labels": [""]}, "labels must not be empty"),
        ({"milestones": [0]}, "milestones must be at least 1, found 0"),
        ({"milestones": [True]}, r"milestones must be a list of whole numbers, found \[True\]"),
        ({"task": "car"}, "task must be one of person, face, found 'car'"),
        (
            {"batch_size": 62, "loss": "triplet"},
            r"batch_size must be a multiple of crops_per_identity \(4\), .*, found 62",
        ),
        ({"batch_size": 4, "loss": "triplet"}, r"batch_size must be .* \(4\), twice that at least, found 4"),
        ({"milestones": [20]}, "milestones are for the schedule steps, found cosine"),
        ({"schedule": "steps"}, "the schedule steps needs milestones, found none"),
        ({"schedule": "steps", "milestones": [9, 9]}, "milestones must rise, found 9, 9"),
        ({"schedule": "steps", "milestones": [60]}, r"milestones must be below epochs \(60\), found 60"),
        ({"warmup_epochs": 61}, r"warmup_epochs must be at most epochs \(60\), found 61.0"),
        ({"freeze_epochs": 61}, r"freeze_epochs must be at most epochs \(60\), found 61"),
        ({"optimizer": "sgd", "amsgrad": True}, "amsgrad is for adam and adamw, found sgd"),
        ({"precision": "fp16", "device": "cpu"}, "fp16 is for GPUs, found the device cpu; there, bf16 is .*"),
        ({"cache": "memory", "cache_dir": "x"}, "cache_dir is for patches kept on disk, found the cache memory"),
        ({"name": "a/b"}, "name must be that of a folder, without its path, found 'a/b'"),
        ({"name": ".."}, "name must be that of a folder, without its path, found '..'"),
    ],
)
def test_a_value_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        TrainConfig(**settings)


@pytest.mark.parametrize("loss", PLAIN_LOSSES)
def test_losses_that_compare_nothing_take_batches_of_any_size(loss):
    assert TrainConfig(loss=loss, batch_size=63).batch_size == 63


def test_what_is_left_out_comes_from_the_task():
    config = resolve(labelled())
    assert (config.patch_height, config.patch_width, config.flip, config.pad) == (256, 128, 0.5, 10)
    config = resolve(labelled(task="face", pad=0, patch_width=96))
    assert (config.patch_height, config.patch_width, config.flip, config.pad) == (112, 96, 0.5, 0)
    assert patch_size(labelled(task="face", patch_width=96)) == (112, 96)


def test_after_resolving_only_what_tables_and_machines_decide_is_left_out():
    config = resolve(labelled())
    left = {name for name in FIELDS if getattr(config, name) is None}
    assert left == {"root", "column", "cache_dir", "threads"}
    assert resolve(config) == config


def test_a_network_from_scratch_learns_at_the_head_s_rate_and_one_with_weights_at_a_tenth_of_it():
    scratch = resolve(labelled(arch="osnet_x0_25", lr=0.002))
    assert (scratch.arch, scratch.weights, scratch.backbone_lr) == ("osnet_x0_25", "none", 0.002)
    tuned = resolve(labelled(weights="some.pth"), "osnet_x0_5")
    assert (tuned.arch, tuned.weights, tuned.backbone_lr) == ("osnet_x0_5", "some.pth", 3.5e-5)
    assert resolve(labelled(weights="some.pth", backbone_lr=1e-3), "osnet_x0_5").backbone_lr == 1e-3
    assert resolve(labelled()).arch == "osnet_x1_0"


def test_rates_and_weights_that_are_left_out_follow_from_where_it_starts_and_from_the_loss():
    scratch, tuned = resolve(labelled()), resolve(labelled(weights="some.pth"), "osnet_x0_5")
    assert (scratch.lr, scratch.arcface_scale) == (6e-3, 16)
    assert (tuned.lr, tuned.arcface_scale) == (3.5e-4, 64)
    assert (scratch.loss, tuned.loss) == ("softmax", "triplet")
    weights = {loss: resolve(labelled(loss=loss)).metric_weight for loss in LOSSES}
    assert (weights.pop("circle"), weights.pop("multi-similarity")) == (0.03, 0.1)
    assert set(weights.values()) == {1.0}
    assert resolve(labelled(loss="circle", metric_weight=0)).metric_weight == 0


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 1 / 12), (15, 1.25), (30, 2.5), (60, 5.0), (90, 5.0)])
def test_the_warm_up_is_5_epochs_and_less_in_a_short_run(epochs, warmup):
    assert resolve(labelled(epochs=epochs)).warmup_epochs == warmup


@pytest.mark.parametrize(
    ("config", "arch", "message"),
    [
        (TrainConfig(), None, "labels must name at least one table, found none"),
        (labelled(weights="a.pth"), None, "weights are 'a.pth', but their architecture is None"),
        (labelled(), "osnet_x0_25", "weights are 'none', but their architecture is 'osnet_x0_25'"),
        (
            labelled(weights="a.pth", arch="osnet_x1_0"),
            "osnet_x0_25",
            "arch is osnet_x1_0, but the weights a.pth are of osnet_x0_25",
        ),
        (labelled(freeze_epochs=3), None, "freeze_epochs is 3, but there are no weights worth freezing: .*"),
    ],
)
def test_what_does_not_go_together_is_not_resolved(config, arch, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        resolve(config, arch)


def test_differences_are_listed_by_name_and_value():
    old = labelled()
    new = labelled(lr=0.5, schedule="steps", milestones=(3, 4), workers=4, root="there")
    assert differences(old, old) == []
    assert differences(old, new, RESUMABLE) == [
        "root: None -> there",
        "lr: None -> 0.5",
        "schedule: cosine -> steps",
        "milestones: none -> 3, 4",
    ]
    assert "workers: 2 -> 4" in differences(old, new)


def test_what_may_change_on_the_way_is_a_setting():
    assert set(FIELDS) >= RESUMABLE


def strategy_of(name):
    """Values that are within a setting's limits."""
    kind, is_list, may_be_none = value_kind(name)
    limits = FIELDS[name].metadata
    if "choices" in limits:
        values = st.sampled_from(limits["choices"])
    elif kind is str:
        values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0"), min_size=1)
    elif kind is bool:
        values = st.booleans()
    elif kind is int:
        values = st.integers(limits["at_least"], limits.get("at_most", 10**9))
    else:
        low, high = limits.get("at_least", limits.get("above")), limits.get("at_most", limits.get("below"))
        values = st.floats(
            low, high, exclude_min="above" in limits, exclude_max="below" in limits, allow_infinity=False
        )
    values = st.lists(values).map(tuple) if is_list else values
    return st.none() | values if may_be_none else values


FREE = [
    name
    for name in FIELDS
    if name not in ("batch_size", "crops_per_identity", "epochs", "warmup_epochs", "freeze_epochs", "milestones",
                    "schedule", "amsgrad", "precision", "cache_dir")
]  # fmt: skip


@given(st.fixed_dictionaries({}, optional={name: strategy_of(name) for name in FREE}))
def test_a_config_survives_its_file(settings):
    if settings.get("name") in (".", ".."):
        del settings["name"]
    config = TrainConfig(**settings)
    text = to_toml(config)
    assert from_toml(text) == config
    assert from_toml(text.encode().decode()) == config


def test_a_file_has_every_setting_that_is_set_under_its_group():
    text = to_toml(labelled(schedule="steps", milestones=(20, 40), name='a "b" \x7f'))
    assert text.startswith('# data\nlabels = ["labels.csv"]\nidentity_column = "person_id"\n')
    assert "\nmilestones = [20, 40]\n" in text
    assert "\namsgrad = false\n" in text
    assert "root" not in tomllib.loads(text)
    assert tomllib.loads(text)["name"] == 'a "b" \x7f'


def test_text_that_utf8_has_no_form_for_is_not_written():
    with pytest.raises(ValueError, match=r"^labels cannot be written as UTF-8, found 'a\\udc80'$"):
        to_toml(TrainConfig(labels=("a\udc80",)))


def test_a_configuration_gives_what_it_sets_and_nothing_else(tmp_path):
    path = written(tmp_path, 'labels = ["a.csv"]\nbatch-size = 32\nlr = 1\n')
    assert read_config(path) == {"labels": ("a.csv",), "batch_size": 32, "lr": 1.0}
    assert read_config(written(tmp_path, "\ufeff# nothing\n")) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate = 1", "sets 'learning_rate', which is no setting"),
        ("batchsize = 1", r"sets 'batchsize', which is no setting \(did you mean 'batch_size'\?\)"),
        ("[optimiser]\nlr = 1", r"sets 'optimiser', which is no setting \(did you mean 'optimizer'\?\)"),
        ("batch-size = 8\nbatch_size = 8", "sets 'batch_size' twice, as 'batch_size' and as 'batch_size'"),
        ("lr = 0", ": lr must be above 0, found 0.0"),
        ("lr = '1'", ": lr must be a number, found '1'"),
        ("lr =", "is no TOML: .*"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused_by_name(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=f"^{path} ?{message}$"):
        read_config(path)


def test_a_configuration_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^cannot read .*none\.toml: No such file or directory$"):
        read_config(tmp_path / "none.toml")
    with pytest.raises(ValueError, match=r"json is no configuration: wanted .* \.toml, \.yaml or \.yml$"):
        read_config(written(tmp_path, "{}", "train.json"))
    path = tmp_path / "latin.toml"
    path.write_bytes(b"name = '\xe9'")
    with pytest.raises(ValueError, match=r"^cannot read .*latin\.toml: 'utf-8' codec can't decode .*$"):
        read_config(path)


def test_yaml_says_the_same(tmp_path):
    pytest.importorskip("yaml", reason="PyYAML is not installed")
    path = written(tmp_path, "labels: [a.csv]\nbatch-size: 32\nlr: 1.0e-4\nroot: null\ncache: none\n", "t.yaml")
    settings = {"labels": ("a.csv",), "batch_size": 32, "lr": 1e-4, "root": None, "cache": "none"}
    assert read_config(path) == settings
    assert read_config(written(tmp_path, "", "t.yml")) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "must set names to values, found list"),
        ("lr: 1e-4", ": lr must be a number, found '1e-4'; in YAML write 1.0e-04"),
        ("task: face-on", ": task must be one of person, face, found 'face-on'"),
        ("seed: null", ": seed must be a whole number, found None"),
        ("1: 2", "sets '1', which is no setting"),
        ("lr: 1.0\nlr: 2.0", "is no YAML: 'lr' stands twice .*"),
        ("lr: [", "is no YAML: .*"),
    ],
)
def test_yaml_that_does_not_fit_is_refused(tmp_path, text, message):
    pytest.importorskip("yaml", reason="PyYAML is not installed")
    path = written(tmp_path, text, "train.yaml")
    with pytest.raises(ValueError, match=f"^{path} ?{message}$"):
        read_config(path)


def test_yaml_without_its_reader_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ValueError, match=r'is YAML, which needs PyYAML: pip install "osnet-encoder\[train\]"$'):
        read_config(written(tmp_path, "lr: 1.0", "train.yml"))
