"""Augmentation: each change by its own rule, the same for one key, and an end to shortcuts."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from conftest import TINY, seeing, small, tiny_market
from test_loss import example

from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.samples import TrainingData
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.errors import InputError
from fusionjax.evaluate.inference import predict
from fusionjax.parallel.mesh import make_mesh
from fusionjax.train.augment import augment, hide_modalities
from fusionjax.train.job import Run
from fusionjax.train.loop import fit
from fusionjax.train.run import make_program
from fusionjax.types import Batch, Clip, Documents, ImageInput, Series, Waveform

KEY = jax.random.key(3)
MODALITIES = {
    **TINY,
    "image": {"kind": "image", "sessions": 1, "patch": 4},
    "audio": {
        "kind": "audio",
        "sessions": 1,
        "hertz": 8000,
        "window": 400,
        "hop": 200,
        "mels": 8,
        "patch": 2,
    },
    "video": {"kind": "video", "sessions": 1, "patch": 4, "patch_frames": 2},
    "frames": {"kind": "frames", "sessions": 1, "patch": 2},
}


def config(**changes: object) -> Config:
    c = seeing(MODALITIES)
    c.data.image_size, c.data.video_size, c.data.video_frames = (12, 16), (8, 8), 2
    c.data.audio_sample_rate, c.data.audio_seconds = 8000, 1.0
    c.train.modality_dropout = 0.0
    return small(c, Path()).override({f"augment.{k}": v for k, v in changes.items()})


@functools.cache
def batch(rows: int = 64) -> Batch:
    rng = np.random.default_rng(0)
    mask = np.arange(8)[None] >= rng.integers(0, 7, (rows, 1))
    x = rng.normal(size=(rows, 8, 2)).astype(np.float32) * mask[..., None]
    texts = rng.random((rows, 4)) < 0.7
    texts[:, -1] = True
    inputs: dict[str, Any] = {
        "price": Series(x, mask),
        "text": Documents(
            np.ones((rows, 4, 8), np.float16),
            np.ones((rows, 4, 3), np.float32),
            np.ones((rows, 4), np.float32),
            np.full((rows, 4), 7, np.int32),
            texts,
        ),
        "chart": ImageInput(rng.integers(1, 255, (rows, 20, 24), np.uint8)),
        "image": ImageInput(rng.integers(1, 255, (rows, 12, 16), np.uint8)),
        "audio": Waveform(
            rng.integers(-9000, 9000, (rows, 8000), np.int16), np.full(rows, 8000, np.int32)
        ),
        "video": Clip(rng.integers(1, 255, (rows, 2, 8, 8), np.uint8)),
        "frames": Series(x * np.float32(2), mask),
    }
    _, plain = example()
    here = {name: np.ones(rows, bool) for name in inputs}
    return dataclasses.replace(plain, inputs=inputs, present=here)


def changed(**changes: object) -> dict[str, Any]:
    """What differs from the batch once it is augmented."""
    before, c = batch(), config(**changes)

    def in_the_configs_order(b: Batch) -> Batch:  # as jit does not give them
        inputs, present = ({n: x[n] for n in MODALITIES} for x in (b.inputs, b.present))
        return augment(dataclasses.replace(b, inputs=inputs, present=present), c, KEY)

    after = jax.device_get(jax.jit(lambda b: augment(b, c, KEY))(before))
    again = jax.device_get(jax.jit(in_the_configs_order)(before))

    def same(a: np.ndarray, b: np.ndarray) -> None:
        whole = np.issubdtype(a.dtype, np.integer)  # sound is rounded to whole numbers
        np.testing.assert_allclose(
            a.astype(float), b.astype(float), rtol=1e-4, atol=1 if whole else 1e-5
        )

    jax.tree.map(same, after.inputs, again.inputs)

    def differs(a: object, b: object) -> bool:
        pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
        return any(not np.array_equal(x, y) for x, y in pairs)

    return {k: v for k, v in after.inputs.items() if differs(v, before.inputs[k])}


def test_nothing_is_changed_unless_asked() -> None:
    assert not any(dataclasses.astuple(config().augment))
    assert not changed()


def test_jitter_and_scale_leave_missing_sessions_alone() -> None:
    x = batch().inputs["price"]
    jittered = changed(numeric_jitter=0.1)["price"]
    noise = (jittered.x - x.x)[x.mask]
    assert abs(noise.std() - 0.1) < 0.01
    assert not jittered.x[~x.mask].any()
    scaled = changed(numeric_scale=0.5)["price"]
    ratio = scaled.x / np.where(x.x == 0, np.nan, x.x)
    assert np.nanmax(np.nanstd(ratio, (1, 2))) < 1e-5, "one factor a window"
    assert 0.3 < np.log(np.nanmean(ratio, (1, 2))).std() < 0.7


def test_a_slice_begins_later_and_never_empties_a_window() -> None:
    before, after = batch().inputs["price"].mask, changed(numeric_slice=0.9)["price"].mask
    assert not (after & ~before).any()
    assert after.any(1).all()
    assert np.mean(after) < 0.8 * np.mean(before)
    assert after[:, -1].all(), "the newest sessions stay"


def test_a_group_of_channels_comes_from_one_other_sample() -> None:
    before = batch().inputs["price"]
    swapped = changed(numeric_permute=0.5, numeric_groups=(("vol20",),))
    assert set(swapped) == {"price"}, "frames have no names"
    after = swapped["price"]
    np.testing.assert_array_equal(after.x[..., 0], before.x[..., 0])
    moved = (after.x[..., 1] != before.x[..., 1]).any(1)
    assert 0.3 < moved.mean() < 0.7
    given = {row.tobytes() for row in before.x[..., 1]}
    unmasked = moved & before.mask.all(1)
    assert all(row.tobytes() in given for row in after.x[unmasked, :, 1])


def test_the_newest_text_stays_and_authors_are_hidden() -> None:
    before = batch().inputs["text"]
    dropped = changed(text_dropout=0.5)["text"]
    np.testing.assert_array_equal(dropped.mask[:, -1], before.mask[:, -1])
    assert 0.3 < np.mean(dropped.mask[:, :-1]) / np.mean(before.mask[:, :-1]) < 0.7
    hidden = changed(author_masking=0.5)["text"].author
    assert set(np.unique(hidden)) == {0, 7}
    assert (hidden.std(1) == 0).all(), "all of a sample's or none"


def test_pictures_are_cut_moved_and_flipped_but_charts_only_cut() -> None:
    cut = changed(image_cutout=0.5)
    assert set(cut) == {"chart", "image", "video"}
    black = cut["image"].pixels == 0
    np.testing.assert_allclose(black.mean((1, 2)), 0.25, atol=0.08)
    first, second = np.moveaxis(cut["video"].pixels == 0, 1, 0)
    np.testing.assert_array_equal(first, second)
    moved = changed(image_shift=2)
    assert set(moved) == {"image"}
    before, after = batch().inputs["image"].pixels, moved["image"].pixels
    for a, b in zip(before, after, strict=True):
        shifts = [
            (y, x)
            for y in range(-2, 3)
            for x in range(-2, 3)
            if np.array_equal(np.roll(a, (y, x), (0, 1))[2:-2, 2:-2], b[2:-2, 2:-2])
        ]
        assert len(shifts) == 1
    flipped = changed(image_flip=1.0)
    assert set(flipped) == {"image"}
    np.testing.assert_array_equal(flipped["image"].pixels, before[:, :, ::-1])


def test_sound_loses_a_span_or_a_band() -> None:
    silent = changed(audio_time_mask=0.5)["audio"].samples == 0
    assert 0.15 < silent.mean() < 0.35
    runs = np.abs(np.diff(np.pad(silent, ((0, 0), (1, 1))).astype(int), axis=1)).sum(1)
    assert np.median(runs) == 2, "one stretch"
    sound = changed(audio_frequency_mask=0.5)["audio"].samples.astype(np.float32)
    power = np.abs(np.fft.rfft(sound))
    quiet = power < 0.05 * np.median(power, 1, keepdims=True)
    assert 0.15 < quiet.mean() < 0.35


def test_hiding_keeps_at_least_one_modality_and_never_adds_one() -> None:
    _, plain = example()
    hide = jax.jit(hide_modalities, static_argnums=1)
    for seed in range(20):
        hidden = jax.device_get(hide(plain, 0.9, jax.random.key(seed)).present)
        a, b = hidden["a"], hidden["b"]
        assert (a | b).all()
        assert not b[1]
    assert hide(plain, 0.0, jax.random.key(0)).present["b"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_cutout": 1.5}, r"augment.image_cutout is 1.5; expected in \[0, 1\]"),
        ({"numeric_jitter": -1.0}, "augment.numeric_jitter is -1.0; expected at least 0"),
        ({"numeric_groups": (("moon",),)}, "numeric_groups names moon, no channel of a modality"),
    ],
)
def test_settings_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        config(**changes)


def market_with_a_shortcut() -> Market:
    """``honest`` tells tomorrow's sign in 7 of 10 cases, always; ``hint`` in 19 of 20, at first."""
    m = tiny_market(days=800, texts=False)
    rng = np.random.default_rng(5)
    rose = np.sign(np.nan_to_num(np.roll(m.channels[:, 0], -1)))
    rows = len(rose)
    honest = rose * np.where(rng.random(rows) < 0.7, 1, -1)
    right = np.where(m.session < np.datetime64("2021-06-01"), 0.95, 0.5)
    hint = rose * np.where(rng.random(rows) < right, 1, -1)
    told = np.stack([honest, hint], 1).astype(np.float32)
    return dataclasses.replace(
        m,
        channels=np.concatenate([m.channels, told], 1),
        channel_names=(*m.channel_names, "honest", "hint"),
    )


@pytest.mark.slow
def test_a_shortcut_that_is_permuted_is_not_learned() -> None:
    market = market_with_a_shortcut()
    modality = {"kind": "numeric", "sessions": 1, "patch": 1, "channels": ("honest", "hint")}
    c = small(
        seeing({"told": modality}),
        Path(),
        data__splits={"train": ("2020-01-01", "2021-05-30"), "dev": ("2021-06-02", "2022-03-01")},
        model__fusion="equal",
        targets__volatility__weight=0.0,
        targets__returns__weight=0.0,
        train__steps=150,
        train__learning_rate=3e-3,
        train__log_every=100,
    )
    windows = Windows(market, c, Scaler.fit(market, np.datetime64("2021-05-30")))
    training_data = TrainingData(samples.split(market, c, "train"), None, None)
    later = samples.split(market, c, "dev")

    def accuracy(permute: float) -> float:
        """On days on which the shortcut says nothing."""
        changes = {"augment.numeric_permute": permute, "augment.numeric_groups": (("hint",),)}
        changed = c.override(changes)
        program = make_program(changed, make_mesh(c.mesh, jax.devices()[:1]), windows)
        params = fit(Run(changed, windows, program), training_data).ema_params
        up = predict(program, params, windows, later.row, 256).value["direction"][:, 0]
        return float(((up > 0.5) == later.targets.label["direction"][:, 0]).mean())

    fooled, cured = accuracy(0.0), accuracy(0.95)
    assert fooled < 0.58, fooled
    assert cured > 0.66, cured
