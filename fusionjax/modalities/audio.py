"""Modality "audio": the newest recording of some sessions."""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fusionjax.config import AugmentConfig, Config, DataConfig, ModelConfig
from fusionjax.config.checks import need
from fusionjax.config.key import key
from fusionjax.modalities.base import Heat, Parts
from fusionjax.modalities.media import Media
from fusionjax.registry import MODALITIES

if TYPE_CHECKING:
    import jax
    import numpy as np

    from fusionjax.data.store import Market
    from fusionjax.models.encoders.audio import AudioEncoder, Mel
    from fusionjax.types import Waveform

_SILENCE = 65  # of 65,536 levels, from the lowest to the highest: 60 dB below the loudest tone
_COLUMNS = 200  # of a displayed spectrogram, about
_SPANS = 16  # of a recording that is explained


@MODALITIES.register("audio")
@dataclasses.dataclass(frozen=True)
class Audio(Media):
    """The first ``data.audio_seconds``, mono at ``data.audio_sample_rate``."""

    hertz: int = key(16_000, "samples a second; must equal data.audio_sample_rate")
    window: int = key(400, "samples a frame")
    hop: int = key(160, "samples from one frame to the next")
    mels: int = key(80, "frequency bands")
    patch: int = key(4, "frames a token")
    folder: ClassVar[str] = "audio"
    dtype: ClassVar[str] = "int16"

    @staticmethod
    def shape(data: DataConfig) -> tuple[int, ...]:
        return (round(data.audio_seconds * data.audio_sample_rate),)

    @staticmethod
    def decoder(data: DataConfig) -> "Callable[[Path], tuple[np.ndarray, int]]":
        from fusionjax.data import media, recordings

        media.require_packages()
        return lambda path: recordings.sound(path, data)

    @classmethod
    def flaw(cls, content: "np.ndarray", length: int) -> str:
        heard = content[:length]
        return "silent" if int(heard.max()) - int(heard.min()) <= _SILENCE else ""

    def check(self, name: str, config: Config) -> None:
        (samples,) = self.shape(config.data)
        frames = 1 + (samples - self.window) // self.hop
        need(
            self.hertz == config.data.audio_sample_rate,
            f"modalities.{name}.hertz is {self.hertz}; data.audio_sample_rate is "
            f"{config.data.audio_sample_rate}",
        )
        need(
            frames >= self.patch,
            f"modalities.{name}: {samples} samples hold {max(frames, 0)} windows of {self.window} "
            f"every {self.hop}, fewer than a patch of {self.patch}",
        )

    def input(self, content: "np.ndarray", length: "np.ndarray") -> "Waveform":
        from fusionjax.types import Waveform

        return Waveform(content, length)

    def encoder(self, config: ModelConfig, deterministic: bool) -> "AudioEncoder":
        from fusionjax.models.encoders.audio import AudioEncoder

        return AudioEncoder(self._mel(), self.patch, config, deterministic)

    def _mel(self) -> "Mel":
        from fusionjax.models.encoders.audio import Mel

        return Mel(self.hertz, self.window, self.hop, self.mels)

    def augment(self, value: "Waveform", settings: AugmentConfig, key: "jax.Array") -> "Waveform":
        """Silences a span of time and a frequency band (Park et al., SpecAugment, 2019)."""
        import jax
        import jax.numpy as jnp

        from fusionjax.types import Waveform

        if not (settings.audio_time_mask or settings.audio_frequency_mask):
            return value
        time_key, band_key = jax.random.split(key)
        x = value.samples.astype(jnp.float32)
        if settings.audio_time_mask:
            x *= _gap_mask(time_key, len(x), x.shape[1], settings.audio_time_mask)
        if settings.audio_frequency_mask:
            spectrum = jnp.fft.rfft(x)
            band_mask = _gap_mask(
                band_key, len(x), spectrum.shape[1], settings.audio_frequency_mask
            )
            x = jnp.fft.irfft(spectrum * band_mask.astype(spectrum.dtype), x.shape[1])
        samples = jnp.clip(jnp.rint(x), -32768, 32767).astype(value.samples.dtype)
        return Waveform(samples, value.length)

    def pooled(self, value: "Waveform", present: "np.ndarray") -> "np.ndarray":
        """Log of the mean power of each of a few equal parts."""
        import numpy as np

        from fusionjax.modalities.summary import mean_of_parts

        power = mean_of_parts(np.square(value.samples / 32768.0), 1)
        return np.where(present[:, None], np.log(power + 1e-8), np.nan)

    def picture(self, value: "Waveform", market: "Market", row: int) -> Heat:
        """Its spectrogram, high bands on top."""
        import jax.numpy as jnp
        import numpy as np

        from fusionjax.models.encoders.audio import log_mel

        samples, length = jnp.asarray(value.samples), jnp.asarray(value.length)
        mel, mask = log_mel(samples[None], length[None], self._mel())
        spectrogram = np.asarray(mel[0])[np.asarray(mask[0])].T[::-1]
        return Heat(spectrogram[:, :: max(spectrogram.shape[1] // _COLUMNS, 1)].astype(float))

    def parts(self, value: "Waveform", market: "Market", row: int) -> list[Parts]:
        """Equal spans of what is heard."""
        import numpy as np

        from fusionjax.types import Waveform

        sample = np.arange(len(value.samples))
        ends = np.linspace(0, int(value.length), _SPANS + 1).round().astype(int)
        own = (sample >= ends[:-1, None]) & (sample < ends[1:, None])
        seconds = (ends / self.hertz).round(2).tolist()
        names = [f"{a:g} to {b:g} s" for a, b in itertools.pairwise(seconds)]
        return [Parts("span", names, Waveform(own, np.zeros(_SPANS, bool)))]


def _gap_mask(key: "jax.Array", rows: int, size: int, most: float) -> "jax.Array":
    """A mask that is 0 on a random gap of up to ``most`` of each row: float [rows, size]."""
    import jax
    import jax.numpy as jnp

    width_key, start_key = jax.random.split(key)
    width = jax.random.uniform(width_key, (rows, 1)) * most * size
    start = jax.random.uniform(start_key, (rows, 1)) * (size - width)
    at = jnp.arange(size, dtype=jnp.float32)[None]
    return 1.0 - ((at >= start) & (at < start + width)).astype(jnp.float32)
