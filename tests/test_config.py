"""Settings: every config resolves, and a wrong key is named with the nearest right one."""

import dataclasses
import importlib
import json
import re
import runpy
import textwrap
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, seeing

from fusionjax.config import Config, resolve
from fusionjax.config.key import check_bounds, key
from fusionjax.configs import base, demo
from fusionjax.errors import InputError
from fusionjax.registry import MODALITIES
from studies.schema import StudyConfig

CONFIGS = sorted(
    f"{folder}/{p.stem}"
    for folder in ("configs", "studies/configs")
    for p in (ROOT / folder).glob("*.py")
    if p.stem not in ("__init__", "base")
)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_resolves_and_round_trips(name: str) -> None:
    module = importlib.import_module(name.replace("/", "."))
    schema = StudyConfig if hasattr(module.get_config(), "ladder") else Config
    config = schema.of(module.get_config())
    assert schema.from_json(json.loads(config.to_json())) == config
    assert f"--config={name}.py" in (module.__doc__ or ""), "its header states the command"


def test_base_alone_is_refused_because_it_has_no_modality() -> None:
    with pytest.raises(InputError, match="modalities is empty"):
        resolve(base.get_config())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.stepz", 3, "no key 'train.stepz'; did you mean 'steps'"),
        ("trian.steps", 3, "did you mean 'train'"),
        ("train.steps", "many", "config.train.steps is 'many'; expected"),
        ("model.heads", 7, "model.width 32 is not a multiple of model.heads 7"),
        ("modalities.price.patch", 7, "sessions 64 is not a multiple of patch 7"),
        ("modalities.chart.patch_height", 7, "do not divide"),
        ("train.split", "trian", "data.splits has train, dev"),
        ("data.splits.dev", ("2018-01-01", "2017-01-01"), "expected .first day, last day."),
        ("targets.returns.quantiles", (0.5, 0.1), "must rise strictly"),
        ("train.grad_accum_steps", 3, "256 is not a multiple"),
        ("modalities.price.kind", "sound", "expected one of numeric, text, chart, image"),
        ("finetune.replay_fraction", 1.0, "expected in \\[0, 1\\)"),
        ("model.attention", "full", "config.model.attention is 'full'; expected .*window.*linear"),
        ("distill.keep", ("price", "news"), "distill.keep names news; modalities has .*price"),
        ("model.fusion", "mean", "expected .*equal.*softmax_gate"),
        ("model.compute_dtype", "flaot32", "expected one of float32, bfloat16"),
        ("train.log_every", 0, "train.log_every is 0; expected at least 1"),
        ("train.grad_accum_steps", 0, "train.grad_accum_steps is 0"),
        ("data.decision_delay_minutes", -1, "a decision before the close"),
        ("targets.returns.horizons", (-1,), "returns.horizons is .*at least 1 session"),
        ("targets.volatility.horizons", (), "expected one or more horizons"),
        ("targets.returns.quantiles", (), "quantiles is empty"),
        ("targets.direction.down", 0.1, "direction.down is above targets.direction.up"),
        ("data.splits.dev", ("2017-1-1", "2018-01-01"), "holds '2017-1-1'; expected YYYY-MM-DD"),
        ("data.splits.dev", ("2017-01-01", "2018-02-30"), "holds '2018-02-30'"),
        ("modalities.price.patch", 0, "each is at least 1"),
        ("modalities.price.patch", True, "config.modalities.price.patch is True; expected"),
        ("modalities.price.channels", "ret", "config.modalities.price.channels is 'ret'; expected"),
        ("modalities.price.kind", ["numeric"], "kind is .'numeric'.; expected one of"),
        ("modalities.price", 5, "config.modalities.price is 5; expected"),
        ("modalities", None, "config.modalities is None; expected"),
        ("targets.returns.horizons", 5, "config.targets.returns.horizons is 5; expected tuple"),
        ("targets.returns.horizons", {"a": 1}, "returns.horizons is {'a': 1}; expected tuple"),
        ("targets.returns", {"a": 1}, "config.targets.returns: unknown keys .'a'."),
        ("targets", {}, "targets has no head; expected at least one whose labels are classes"),
        (
            "targets.returns",
            (1, 5),
            "targets.returns is called config.targets.returns.horizons now",
        ),
        ("targets.classes", ("a", "b"), "is called config.targets.direction.classes now"),
        ("loss.direction", 0.5, "is called config.targets.direction.weight now"),
        ("data.image_size", (64,), "config.data.image_size is .64,.; expected"),
        ("data.splits", "train", "config.data.splits is 'train'; expected"),
        ("data", 5, "config.data is 5; expected"),
        ("data.audio_seconds", float("inf"), "config.data.audio_seconds is inf; expected"),
        ("data.audio_sample_rate", 10**400, "config.data.audio_sample_rate is 1000"),
        ("train.learning_rate", float("nan"), "config.train.learning_rate is nan; expected"),
    ],
)
def test_bad_values_are_named(key: str, value: object, message: str) -> None:
    config = resolve(demo.get_config())
    with pytest.raises(InputError, match=message):
        config.override({key: value})


@pytest.mark.parametrize("raw", [None, 5, "config", [1], {"data": {}, "modalities": [1]}, {}])
def test_json_that_is_no_config_is_refused(raw: Any) -> None:
    with pytest.raises(InputError, match="^config"):
        Config.from_json(raw)


def test_heads_keep_the_order_of_the_config() -> None:
    """It is that of the model's outputs: a checkpoint's columns."""
    config = resolve(demo.get_config())
    names = ["direction", "returns", "volatility"]
    for same in (
        config,
        config.override({"seed": 1}),
        Config.from_json(json.loads(config.to_json())),
    ):
        assert list(same.targets) == names


def test_whole_numbers_are_taken_for_fractions() -> None:
    rate = resolve(demo.get_config()).override({"train.clip_norm": 1}).train.clip_norm
    assert (rate, type(rate)) == (1.0, float)


def sections() -> list[tuple[str, dataclasses.Field]]:
    """(section.key, its field) of every key of a section."""
    return [
        (f"{section.name}.{f.name}", f)
        for section in dataclasses.fields(Config)
        if dataclasses.is_dataclass(section.type)
        for f in dataclasses.fields(section.type)
    ]


@pytest.mark.parametrize(("name", "field"), sections(), ids=lambda x: x if type(x) is str else "")
def test_every_key_says_what_it_is_and_is_refused_beyond_its_bounds(
    name: str, field: dataclasses.Field
) -> None:
    m, config = field.metadata, resolve(demo.get_config())
    assert m["doc"]
    beyond = [m[k] - 1 for k in ("least", "above") if k in m]
    beyond += [m[k] + 1 for k in ("most", "below") if k in m]
    beyond += [m[k] for k in ("above", "below") if k in m]
    for value in beyond:
        with pytest.raises(InputError, match=re.escape(f"{name} is {value}")):
            config.override({name: value})
    if typing.get_origin(field.type) is typing.Literal:
        with pytest.raises(InputError, match=f"config.{name} is 'x'; expected one of "):
            config.override({name: "x"})


def test_a_bound_holds_for_every_number_of_a_tuple_and_is_said_in_words() -> None:
    @dataclasses.dataclass(frozen=True)
    class Section:
        sizes: tuple[int, ...] = key((1, 2), "sizes", least=1)
        share: float = key(0.5, "a share", above=0, most=1)
        cold: float = key(-3.0, "degrees", below=0)

    check_bounds(Section(), "s")
    with pytest.raises(InputError, match=r"s.sizes is \(1, 0\); expected at least 1"):
        check_bounds(Section(sizes=(1, 0)), "s")
    with pytest.raises(InputError, match=r"s.share is 0; expected in \(0, 1\]"):
        check_bounds(Section(share=0), "s")
    with pytest.raises(InputError, match="s.cold is 0.0; expected less than 0"):
        check_bounds(Section(cold=0.0), "s")


def test_bounds_of_a_modality_and_of_a_head_hold_too(monkeypatch: pytest.MonkeyPatch) -> None:
    config = resolve(demo.get_config())
    with pytest.raises(InputError, match="targets.volatility.weight is -1.0; expected at least 0"):
        config.override({"targets.volatility.weight": -1.0})

    @dataclasses.dataclass(frozen=True)
    class Shares(type(config.modalities["price"])):  # type: ignore[misc]
        share: float = key(0.5, "of something", above=0, most=1)

    monkeypatch.setitem(MODALITIES._entries, "shares", Shares)
    raw = json.loads(config.to_json())
    raw["modalities"]["price"] |= {"kind": "shares", "share": 1.5}
    with pytest.raises(InputError, match=r"modalities.price.share is 1.5; expected in \(0, 1\]"):
        Config.from_json(raw)


def test_the_list_of_keys_is_todays() -> None:
    drawn = runpy.run_path(str(ROOT / "docs" / "draw_config.py"))
    page = drawn["PAGE"].read_text()
    assert drawn["page"]() == page, "run python docs/draw_config.py"
    assert "| `train.steps` | `400` | optimiser updates; at least 1 |" in page


def test_a_config_of_ones_own_takes_ten_lines(tmp_path: Path) -> None:
    """The one in the header of fusionjax/configs/base.py."""
    lines = (base.__doc__ or "").split("::\n\n")[1].split("\n\nAny key")[0]
    assert len([x for x in lines.splitlines() if x.strip()]) <= 10
    scope: dict[str, Any] = {}
    exec(textwrap.dedent(lines), scope)
    config = resolve(scope["get_config"]())
    assert [*config.modalities] == ["price", "news"]
    assert config.modalities["price"].sessions == 64
    assert config.data.splits["dev"] == ("2023-01-01", "2024-12-31")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda c: setattr(c.train, "stepz", 3), AttributeError, "stepz.* does not exist"),
        (lambda c: base.modality("sound"), InputError, "modalities is 'sound'; expected one of"),
        (lambda c: base.modality("text", sesions=3), InputError, "unknown keys .'sesions'."),
        (lambda c: base.modality("text", sessions="3"), InputError, "sessions is '3'; expected"),
    ],
)
def test_a_mistake_in_a_config_file_is_named_where_it_is_made(
    change: Callable, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        change(base.get_config())


@pytest.mark.parametrize(
    ("modality", "changes", "message"),
    [
        ({"kind": "image", "patch": 3}, {}, "data.image_size .64, 64. does not divide into patche"),
        ({"kind": "video", "patch": 8, "patch_frames": 3}, {}, "video_frames 8 is not a multiple"),
        ({"kind": "frames", "patch": 7}, {}, "data.max_frames 256 is not a multiple of patch 7"),
        (
            {"kind": "text", "max_documents": 2, "author_buckets": 1, "max_tokens": 512},
            {},
            "modalities.m.max_tokens is 512; 128 are stored",
        ),
        (
            {"kind": "audio", "hertz": 8000, "window": 400, "hop": 200, "mels": 8, "patch": 3},
            {},
            "hertz is 8000; data.audio_sample_rate is 16000",
        ),
        (
            {"kind": "audio", "hertz": 16_000, "window": 400, "hop": 200, "mels": 8, "patch": 3},
            {"data.audio_seconds": 0.03},
            "480 samples hold 1 windows of 400 every 200, fewer than a patch of 3",
        ),
    ],
)
def test_patches_must_fit_what_files_are_decoded_to(
    modality: dict, changes: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        resolve(seeing({"m": modality | {"sessions": 1}})).override(changes)


def test_a_period_is_a_split_by_its_first_and_last_day() -> None:
    config = resolve(demo.get_config())
    days = ("2018-01-02", "2018-06-29")
    for section in ("train", "evaluate", "finetune"):
        changed = config.override({f"{section}.split": ":".join(days)})
        assert getattr(changed, section).split == "2018-01-02_2018-06-29"
        assert changed.data.splits == {**config.data.splits, "2018-01-02_2018-06-29": days}
        assert changed.override({}) == changed
        assert config.override({f"{section}.split": "2018-01-02_2018-06-29"}) == changed
    with pytest.raises(InputError, match="2018-06-29_2018-01-02 is .*expected .first day, last"):
        config.override({"evaluate.split": "2018-06-29:2018-01-02"})
    with pytest.raises(InputError, match="2018-02-30'; expected YYYY-MM-DD"):
        config.override({"evaluate.split": "2018-01-02:2018-02-30"})
    with pytest.raises(InputError, match="a period by its first and last day is YYYY-MM-DD:"):
        config.override({"evaluate.split": "2018"})
