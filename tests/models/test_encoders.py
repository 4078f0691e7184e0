"""Encoders of files by hand: mel bands, patches of sound, tubelets, and what is absent."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from scipy.signal import stft

from fusionjax.config import ModelConfig
from fusionjax.modalities.audio import Audio
from fusionjax.modalities.base import Modality
from fusionjax.modalities.image import Image as Picture
from fusionjax.modalities.numeric import Numeric
from fusionjax.modalities.video import Video
from fusionjax.models.encoders.audio import log_mel, mel_filters
from fusionjax.types import Clip, ImageInput, Series, Tokens, Waveform

MODEL = ModelConfig(
    width=8,
    layers=1,
    heads=2,
    mlp_ratio=2,
    attention="window",
    attention_window=4,
    fusion="distilled",
    confidence_threshold=0.6,
    dropout=0.0,
    compute_dtype="float32",
    remat="layer",
)
AUDIO = Audio("audio", sessions=1, hertz=8000, window=400, hop=200, mels=20, patch=3)


def tone(hertz: float, amplitude: float = 0.5, count: int = 4000) -> np.ndarray:
    wave = amplitude * np.sin(2 * np.pi * hertz * np.arange(count) / 8000)
    return np.rint(32767 * wave).astype(np.int16)


@functools.partial(jax.jit, static_argnums=0)
def encoded(spec: Modality, given: object) -> Tokens:
    model = spec.encoder(MODEL, True)
    return model.init_with_output(jax.random.key(0), given)[0]


def run(spec: Modality, given: object) -> Tokens:
    """What an encoder makes of it at its start, as numpy arrays."""
    return jax.device_get(encoded(spec, given))


def parameters(spec: Modality, given: object) -> dict:
    """Shapes of an encoder's parameters."""
    model = spec.encoder(MODEL, True)
    return jax.eval_shape(model.init, jax.random.key(0), given)["params"]


def mel_of(samples: np.ndarray, length: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return jax.device_get(_log_mel(samples, np.array(length, np.int32), AUDIO._mel()))


_log_mel = jax.jit(log_mel, static_argnums=2)


def test_mel_filters_by_hand() -> None:
    """Two bands up to 4 kHz: edges at 0, 620.6, 1791.5 and 4000 Hz; bins at each 1000 Hz."""
    filters = mel_filters(2, 8, 8000)
    first = [0, (1791.5 - 1000) / (1791.5 - 620.6), 0, 0, 0]
    second = [0, 1 - first[1], 2000 / (4000 - 1791.5), 1000 / (4000 - 1791.5), 0]
    np.testing.assert_allclose(filters.T, [first, second], atol=1e-3)


def test_log_mel_is_that_of_an_independent_transform() -> None:
    rng = np.random.default_rng(0)
    samples = np.rint(3000 * rng.normal(size=(2, 2000))).clip(-32768, 32767).astype(np.int16)
    mel, mask = mel_of(samples, [2000, 1000])
    _, _, spectrum = stft(
        samples / 32768.0, window="hann", nperseg=400, noverlap=200, boundary=None, padded=False
    )
    power = np.abs(spectrum) ** 2  # scipy scales by the window's sum, as we do
    wanted = np.log(np.einsum("bkt,km->btm", power, mel_filters(20, 400, 8000)) + 1e-8)
    np.testing.assert_allclose(mel, wanted, atol=2e-3)
    assert mask.tolist() == [[True] * 9, [True] * 4 + [False] * 5]


@pytest.mark.parametrize("hertz", [400, 1200, 2800])
def test_a_tone_is_loudest_in_the_band_around_it(hertz: int) -> None:
    mel, _ = mel_of(tone(hertz)[None], [4000])
    filters = mel_filters(20, 400, 8000)
    assert int(mel[0].mean(0).argmax()) == int(filters[round(hertz * 400 / 8000)].argmax())


def test_loudness_reaches_the_statistics_token_only() -> None:
    loud, quiet = tone(1000), tone(1000, 0.05)
    given = Waveform(np.stack([loud, quiet]), np.array([4000, 4000]))
    tokens = run(AUDIO, given)
    assert tokens.x.shape == (2, 1 + 19 // 3, 8)
    assert np.abs(tokens.x[0, 0] - tokens.x[1, 0]).max() > 0.05


def test_padding_is_masked_and_silence_after_it_changes_nothing() -> None:
    short = np.concatenate([tone(1000, count=2000), np.zeros(2000, np.int16)])
    other = np.concatenate([tone(1000, count=2000), np.full(2000, 99, np.int16)])
    given = Waveform(np.stack([short, other]), np.array([2000, 2000]))
    tokens = run(AUDIO, given)
    assert tokens.mask.tolist() == [[True] * 4 + [False] * 3] * 2
    real = tokens.mask[0]
    np.testing.assert_allclose(tokens.x[0, real], tokens.x[1, real], atol=1e-5)


def test_silence_and_nothing_at_all_stay_finite() -> None:
    given = Waveform(np.zeros((2, 4000), np.int16), np.array([4000, 0]))
    tokens = run(AUDIO, given)
    assert np.isfinite(tokens.x).all()
    assert not tokens.mask[1].any()


def test_tubelets_are_cut_in_time_and_space() -> None:
    """A clip whose second half is another picture: the moments of the first half stay alike."""
    spec = Video("video", sessions=1, patch=4, patch_frames=2)
    rng = np.random.default_rng(0)
    still = np.repeat(rng.integers(0, 255, (1, 1, 8, 8)), 4, 1).astype(np.uint8)
    cut = still.copy()
    cut[0, 2:] = 255 - cut[0, 2:]
    tokens = run(spec, Clip(np.concatenate([still, cut])))
    assert tokens.x.shape == (2, 2, 8)
    assert tokens.mask.all()
    assert np.abs(tokens.x[0, 1] - tokens.x[1, 1]).max() > 0.05
    params = parameters(spec, Clip(still))
    assert params["embed"]["kernel"].shape == (2 * 4 * 4, 8)
    assert params["positions"].shape == (4, 8)
    assert params["moment_positions"].shape == (2, 8)


def test_pictures_are_cut_into_square_patches() -> None:
    spec = Picture("image", sessions=1, patch=4)
    pixels = np.random.default_rng(0).integers(0, 255, (2, 8, 12)).astype(np.uint8)
    tokens = run(spec, ImageInput(pixels))
    assert tokens.x.shape == (2, 6, 8)
    changed = pixels.copy()
    changed[0, :4, :4] = 255 - changed[0, :4, :4]
    other = run(spec, ImageInput(changed))
    np.testing.assert_array_equal(other.x[1], tokens.x[1])
    assert np.abs(other.x[0, 0] - tokens.x[0, 0]).max() > 0.05


@pytest.mark.parametrize(
    ("patch", "size", "kernels"),
    [
        (4, 8, {"stem_0": (4, 16), "stem_1": (64, 32), "embed": (32, 8)}),
        (16, 16, {"stem_0": (4, 16), "stem_1": (64, 32), "stem_2": (128, 64), "embed": (256, 8)}),
        (3, 6, {"embed": (9, 8)}),
    ],
)
def test_neighbours_are_merged_as_far_as_a_patch_goes(
    patch: int, size: int, kernels: dict[str, tuple[int, int]]
) -> None:
    spec = Picture("image", sessions=1, patch=patch)
    params = parameters(spec, ImageInput(np.zeros((1, size, size), np.uint8)))
    found = {k: v["kernel"].shape for k, v in params.items() if k.startswith(("stem", "embed"))}
    assert found == kernels


def test_what_is_computed_again_changes_no_gradient() -> None:
    spec = Numeric("numeric", ("a", "b"), sessions=8, patch=2)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 8, 2)).astype(np.float32)
    series = jax.device_put(Series(x, np.ones((3, 8), bool)))
    grads = []
    for remat in ("layer", "products"):
        model = spec.encoder(dataclasses.replace(MODEL, layers=2, remat=remat), True)
        params = jax.jit(model.init)(jax.random.key(0), series)
        grad = jax.jit(jax.grad(lambda p, m=model: (m.apply(p, series).x ** 2).mean()))
        grads.append(grad(params))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), *grads)
