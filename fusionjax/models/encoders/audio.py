"""Sound: waveform to log-mel spectrogram on the device, then patches of frames."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Float32, Int

from fusionjax.config import ModelConfig
from fusionjax.models.encoders.numeric import instance_normalise
from fusionjax.models.encoders.patches import patch_tokens
from fusionjax.parallel.rules import by_rows
from fusionjax.types import Tokens, Waveform

_QUIET = 1e-8  # added to the power before the log: -80 dB of full scale


@dataclasses.dataclass(frozen=True)
class Mel:
    """Settings of a spectrogram: samples a second, samples a frame, hop in samples, bands."""

    hertz: int
    window: int
    hop: int
    bands: int


def mel_filters(mels: int, window: int, hertz: int) -> Float32[np.ndarray, "K mels"]:
    """Triangular filters over the K Fourier bins, evenly spaced in mel from 0 to ``hertz / 2``.

    ``mel = 2595·log10(1 + f/700)`` (O'Shaughnessy, 1987).
    """
    top = 2595 * np.log10(1 + hertz / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, mels + 2) / 2595) - 1)
    low, mid, high = edges[:-2], edges[1:-1], edges[2:]
    bins = np.arange(window // 2 + 1)[:, None] * hertz / window
    rising, falling = (bins - low) / (mid - low), (high - bins) / (high - mid)
    return np.maximum(np.minimum(rising, falling), 0).astype(np.float32)


def log_mel(
    samples: Int[Array, "B S"], length: Int[Array, "B"], spec: Mel
) -> tuple[Float[Array, "B T mels"], Bool[Array, "B T"]]:
    """Log of the mel power of Hann-windowed frames; those that end after ``length`` are masked.

    Args:
      samples: 16-bit PCM.
      length: how many of them are sound; the rest is padding.
      spec: of the spectrogram.
    """
    count = 1 + (samples.shape[1] - spec.window) // spec.hop
    start = np.arange(count) * spec.hop
    x = samples.astype(jnp.float32) / 32768.0
    frames = x[:, start[:, None] + np.arange(spec.window)]
    hann = np.hanning(spec.window + 1)[:-1].astype(np.float32)
    hann = hann / hann.sum()
    power = by_rows(lambda x: jnp.square(jnp.abs(jnp.fft.rfft(x))), frames * hann[None, None])
    mel = jnp.log(power @ mel_filters(spec.bands, spec.window, spec.hertz) + _QUIET)
    return mel, jnp.asarray(start + spec.window)[None] <= length[:, None]


class AudioEncoder(nn.Module):
    """One token a patch of frames with all their mel bands (Gong et al., AST, 2021).

    Each clip is normalised band by band; its means and deviations become a token of their own.
    """

    mel: Mel
    patch: int  # frames
    config: ModelConfig
    deterministic: bool

    @nn.compact
    def __call__(self, sound: Waveform, before: Tokens | None = None) -> Tokens:
        mel, mask = log_mel(sound.samples, sound.length, self.mel)
        used = mel.shape[1] // self.patch * self.patch
        x, mean, std = instance_normalise(mel[:, :used], mask[:, :used])
        statistics = jnp.concatenate([mean / 4 + 2, jnp.log(std)], axis=-1)
        return patch_tokens(self, x, mask[:, :used], statistics, self.patch, before)
