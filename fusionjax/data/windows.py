"""Windows on the fly: from rows of a Market to a Batch, in whole-array steps."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Shaped

from fusionjax.config import (
    AudioConfig,
    ChartConfig,
    Config,
    FramesConfig,
    MediaConfig,
    ModalityConfig,
    NumericConfig,
    TextConfig,
    VectorConfig,
    VideoConfig,
)
from fusionjax.data import balance, charts, media, provenance
from fusionjax.data.samples import unlabelled
from fusionjax.data.store import Market
from fusionjax.data.text import EMBEDDING_WIDTH, LEXICON
from fusionjax.errors import InputError
from fusionjax.types import (
    PIXELS_PER_SESSION,
    Batch,
    Clip,
    Documents,
    Image,
    Input,
    Series,
    Targets,
    Waveform,
)

_PAGE = 256  # items of frames read at once to fit their scale
_CLIP = 8.0  # standard deviations; daily bars hold typing errors and crashes alike


@dataclasses.dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation of each channel over the training rows, and of nothing later.

    ``trust`` turns a channel that has moved since toward its mean: 1, and 1 where left out, shows
    it as it is, 0 hides it. A modality of such channels is less loud, which is one of the clues
    that the distilled fusion weighs it by.
    """

    mean: dict[str, float]
    std: dict[str, float]
    trust: dict[str, float] = dataclasses.field(default_factory=dict)

    @staticmethod
    def fit(
        market: Market, last: np.datetime64, hidden: Shaped[np.ndarray, "H"] | None = None
    ) -> "Scaler":
        """Fits on the bars of all symbols up to the day ``last`` but on ``hidden`` days.

        Args:
          market: the bars.
          last: the latest training session.
          hidden: datetime64[D] that a test keeps to itself; none if not given.
        """
        used = market.session <= last
        if hidden is not None:
            used &= ~np.isin(market.session, hidden)
        seen = market.channels[used].astype(np.float64)
        # A channel may be absent from the whole training period: it stays missing, unscaled.
        known = np.isfinite(seen).any(0)
        mean, std = np.zeros(seen.shape[1]), np.ones(seen.shape[1])
        mean[known] = np.nanmean(seen[:, known], 0)
        std[known] = np.maximum(np.nanstd(seen[:, known], 0), 1e-8)
        names = list(market.channel_names)
        if "frames" in market.media:
            of_frames = _frames_moments(market, used)
            names += [f"frames[{i}]" for i in range(len(of_frames[0]))]
            mean, std = (np.append(a, b) for a, b in zip((mean, std), of_frames, strict=True))
        return Scaler(
            dict(zip(names, mean.tolist(), strict=True)),
            dict(zip(names, std.tolist(), strict=True)),
        )


def _frames_moments(
    market: Market, used: Bool[np.ndarray, "R"]
) -> tuple[Float64[np.ndarray, "F"], Float64[np.ndarray, "F"]]:
    """Mean and standard deviation of each feature of some bars' frames, page by page."""
    media = market.media["frames"]
    at = np.flatnonzero(used[media.bar])
    count, total, squares = np.zeros((3, media.shape[1]))
    for start in range(0, len(at), _PAGE):
        x = media.read(at[start : start + _PAGE]).reshape(-1, media.shape[1]).astype(float)
        known = np.isfinite(x)
        x = np.where(known, x, 0)
        count, total, squares = count + known.sum(0), total + x.sum(0), squares + (x**2).sum(0)
    mean = total / np.maximum(count, 1)
    spread = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0))
    return mean, np.where(spread > 0, spread, 1.0)


class Windows:
    """Builds batches of one market for one config. Reads nothing after a sample's row.

    Args:
      market: the data.
      config: of the run.
      scaler: fitted on its training rows.
      content: for an ablation, by modality: for every row of the market the row whose content is
        shown in its place.
    """

    def __init__(
        self,
        market: Market,
        config: Config,
        scaler: Scaler,
        content: Mapping[str, Int64[np.ndarray, "R"]] | None = None,
    ) -> None:
        for name, modality in config.modalities.items():
            if isinstance(modality, VectorConfig):
                raise InputError(
                    f"config.modalities.{name} is a vector: those are for studies of the fusion "
                    "(studies/ladder.py); a market has numeric, text, chart, image, "
                    "audio and video"
                )
            if isinstance(modality, MediaConfig) and modality.kind not in market.media:
                raise InputError(
                    f"config.modalities.{name} wants {modality.kind}; data.source "
                    f"{config.data.source!r} has none, remove the modality"
                )
            if isinstance(modality, TextConfig) and market.texts is None:
                raise InputError(
                    f"config.modalities.{name} wants texts; data.source "
                    f"{config.data.source!r} has none, remove the modality"
                )
        self.config = config
        self.balance = balance.of_rows(market, config)  # how often each row is drawn
        self._market, self.scaler, self._content = market, scaler, content or {}
        self._series = {
            name: self._scaled(m)
            for name, m in config.modalities.items()
            if isinstance(m, NumericConfig)
        }
        if any(isinstance(m, FramesConfig) for m in config.modalities.values()):
            names = [f"frames[{i}]" for i in range(config.data.frame_features)]
            self._frames_mean = np.array([scaler.mean[n] for n in names], np.float32)
            self._frames_std = np.array([scaler.std[n] for n in names], np.float32)
        vol20 = market.channels[:, market.columns(("vol20",))[0]]
        self._log_scale = np.where(np.isfinite(vol20), vol20, np.float32(scaler.mean["vol20"]))

    def __call__(
        self,
        rows: Int64[np.ndarray, "B"],
        targets: Targets,
        weight: Float[np.ndarray, "B"],
        hidden: frozenset[str] = frozenset(),
    ) -> Batch:
        """The batch of ``rows``; modalities named in ``hidden`` are marked absent."""
        inputs, present = {}, {}
        for name, modality in self.config.modalities.items():
            shown = self._content[name][rows] if name in self._content else rows
            inputs[name], present[name] = self._input(name, modality, shown)
            if name in hidden:
                present[name] = np.zeros_like(present[name])
        return Batch(
            inputs=inputs,
            present=present,
            targets=targets,
            log_scale=self._log_scale[rows],
            weight=weight,
            sample_id=rows.astype(np.int32),
        )

    def describe(self, row: int) -> dict[str, Any]:
        """Where a sample comes from."""
        return provenance.describe(self._market, self.config, row)

    def require(self, row: int) -> int:
        """The row, if the market has it.

        Raises:
          InputError: it has not.
        """
        rows = len(self._market.session)
        if not 0 <= row < rows:
            raise InputError(f"there is no sample {row}; this data has 0 to {rows - 1}")
        return row

    def one(self, row: int) -> Batch:
        """One sample without its labels."""
        return self(np.array([row]), unlabelled(self.config, 1), np.ones(1, np.float32))

    def _input(
        self, name: str, modality: ModalityConfig, rows: np.ndarray
    ) -> tuple[Input, Bool[np.ndarray, "B"]]:
        if isinstance(modality, NumericConfig):
            values, known = self._series[name]
            at, exists = self._look_back(rows, modality.sessions)
            mask = exists & known[at]
            return Series(np.where(mask[..., None], values[at], np.float32(0)), mask), mask.any(1)
        if isinstance(modality, MediaConfig):
            return self._latest(modality, rows)
        if isinstance(modality, ChartConfig):
            at, exists = self._look_back(rows, modality.sessions)
            pixels = charts.draw(self._market.ohlcv[at], exists, modality.height)
            return Image(pixels), np.ones(len(rows), bool)
        assert isinstance(modality, TextConfig), "checked when the windows are made"
        return self._documents(modality, rows)

    def _look_back(
        self, rows: np.ndarray, sessions: int
    ) -> tuple[Int64[np.ndarray, "B T"], Bool[np.ndarray, "B T"]]:
        at = rows[:, None] + np.arange(1 - sessions, 1)
        first = self._market.first_row[rows][:, None]
        return np.maximum(at, first), at >= first

    def _latest(
        self, modality: MediaConfig, rows: np.ndarray
    ) -> tuple[Input, Bool[np.ndarray, "B"]]:
        """The newest item of the last ``sessions`` sessions; zeros where there is none."""
        media = self._market.media[modality.kind]
        oldest = self._market.oldest(rows, modality.sessions)
        at = np.searchsorted(media.bar, rows, side="right") - 1
        here = (at >= 0) & (media.bar[at] >= oldest)
        content = np.zeros((len(rows), *media.shape), media.dtype)
        if here.any():
            content[here] = media.read(at[here])
        if isinstance(modality, FramesConfig):
            x = (content - self._frames_mean) / self._frames_std
            mask = here[:, None] & np.isfinite(x).all(2)
            x = np.where(mask[..., None], np.clip(x, -_CLIP, _CLIP), np.float32(0))
            return Series(x.astype(np.float32), mask), mask.any(1)
        if isinstance(modality, AudioConfig):
            length = np.where(here, media.length[at], 0).astype(np.int32)
            return Waveform(content, length), here
        return Clip(content) if isinstance(modality, VideoConfig) else Image(content), here

    def _documents(
        self, modality: TextConfig, rows: np.ndarray
    ) -> tuple[Documents, Bool[np.ndarray, "B"]]:
        texts, market = self._market.texts, self._market
        assert texts is not None, "checked when the windows are made"
        oldest = self._market.oldest(rows, modality.sessions)
        begin = np.searchsorted(texts.bar, oldest, side="left")
        end = np.searchsorted(texts.bar, rows, side="right")
        at = end[:, None] + np.arange(-modality.max_documents, 0)
        mask = at >= begin[:, None]
        at = np.where(mask, at, 0)
        seconds = market.decision_time[rows][:, None] - texts.available_time[at]
        shown = mask[..., None]
        return Documents(
            embedding=np.where(shown, texts.embedding[at], np.float16(0)),
            lexicon=np.where(shown, texts.lexicon[at], np.float32(0)),
            age=np.where(mask, seconds / 3600, 0).astype(np.float32),
            author=np.where(mask, texts.author[at] % modality.author_buckets, 0).astype(np.int32),
            mask=mask,
            tokens=np.where(shown, texts.tokens[at, : modality.max_tokens], np.uint16(0))
            if modality.fine_tune
            else None,
        ), np.asarray(mask.any(1))

    def _scaled(
        self, modality: NumericConfig
    ) -> tuple[Float[np.ndarray, "R F"], Bool[np.ndarray, "R"]]:
        values = self._market.channels[:, self._market.columns(modality.channels)]
        mean = np.array([self.scaler.mean[c] for c in modality.channels], np.float32)
        std = np.array([self.scaler.std[c] for c in modality.channels], np.float32)
        known = np.isfinite(values).all(1)
        trust = np.array([self.scaler.trust.get(c, 1.0) for c in modality.channels], np.float32)
        scaled = np.clip((values - mean) / std * trust, -_CLIP, _CLIP)
        return np.where(known[:, None], scaled, np.float32(0)), known


def blank(config: Config, rows: int) -> Batch:
    """A batch that holds nothing, of the shapes and dtypes that ``Windows`` gives: known before
    any data is read."""
    return Batch(
        inputs={name: _nothing(m, config, rows) for name, m in config.modalities.items()},
        present={name: np.zeros(rows, bool) for name in config.modalities},
        targets=unlabelled(config, rows),
        log_scale=np.zeros(rows, np.float32),
        weight=np.zeros(rows, np.float32),
        sample_id=np.zeros(rows, np.int32),
    )


def _nothing(modality: ModalityConfig, config: Config, rows: int) -> Input:
    if isinstance(modality, NumericConfig):
        mask = np.zeros((rows, modality.sessions), bool)
        return Series(np.zeros((*mask.shape, len(modality.channels)), np.float32), mask)
    if isinstance(modality, ChartConfig):
        width = modality.sessions * PIXELS_PER_SESSION
        return Image(np.zeros((rows, modality.height, width), np.uint8))
    if isinstance(modality, TextConfig):
        shape = rows, modality.max_documents
        tokens = np.zeros((*shape, modality.max_tokens), np.uint16) if modality.fine_tune else None
        return Documents(
            embedding=np.zeros((*shape, EMBEDDING_WIDTH), np.float16),
            lexicon=np.zeros((*shape, len(LEXICON)), np.float32),
            age=np.zeros(shape, np.float32),
            author=np.zeros(shape, np.int32),
            mask=np.zeros(shape, bool),
            tokens=tokens,
        )
    assert isinstance(modality, MediaConfig), "vectors are no part of a market"
    content = np.zeros(
        (rows, *media.shape(modality.kind, config.data)), media.DTYPES[modality.kind]
    )
    if isinstance(modality, FramesConfig):
        return Series(content, np.zeros(content.shape[:2], bool))
    if isinstance(modality, AudioConfig):
        return Waveform(content, np.zeros(rows, np.int32))
    return Clip(content) if isinstance(modality, VideoConfig) else Image(content)
