"""Builds batches from rows of a Market, with vectorised array operations."""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, Shaped

from fusionjax.config import Config, Modalities
from fusionjax.data import balance, provenance
from fusionjax.data.samples import unlabelled
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.registry import MODALITIES
from fusionjax.types import Base, Batch, Targets

EXPERTS = "experts"  # names them among what can be hidden
CLIP = 8.0  # standard deviations: bars have extreme values, genuine and erroneous


@dataclasses.dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation of each channel over the training rows only.

    ``trust`` (default 1) scales a drifted channel toward its training mean; 0 removes it. This also
    lowers the modality's input energy, a quality feature of the distilled fusion.
    """

    mean: dict[str, float]
    std: dict[str, float]
    trust: dict[str, float] = dataclasses.field(default_factory=dict)

    @staticmethod
    def fit(
        market: Market, last: np.datetime64, hidden: Shaped[np.ndarray, "H"] | None = None
    ) -> "Scaler":
        """Fits on the bars of all symbols up to the day ``last``, without the ``hidden`` days.

        Args:
          market: the bars.
          last: the latest training session.
          hidden: datetime64[D], days held out for a test.
        """
        used = market.session <= last
        if hidden is not None:
            used &= ~np.isin(market.session, hidden)
        values = market.channels[used].astype(np.float64)
        # A channel may be absent from the whole training period: it stays missing, unscaled.
        known = np.isfinite(values).any(0)
        mean, std = np.zeros(values.shape[1]), np.ones(values.shape[1])
        mean[known] = np.nanmean(values[:, known], 0)
        std[known] = np.maximum(np.nanstd(values[:, known], 0), 1e-8)
        pairs = zip(mean.tolist(), std.tolist(), strict=True)
        moments = dict(zip(market.channel_names, pairs, strict=True))
        for kind in MODALITIES:
            moments |= MODALITIES[kind].moments(market, used)
        return Scaler(
            {n: m for n, (m, _) in moments.items()}, {n: s for n, (_, s) in moments.items()}
        )

    def scaled(self, x: Float[Any, "*rows F"], names: tuple[str, ...]) -> Float[Any, "*rows F"]:
        """Features in standard deviations from their training mean, times ``trust``; float32 of
        NumPy or of JAX."""
        trust = {n: self.trust.get(n, 1.0) for n in names}
        shape = *(1,) * (x.ndim - 1), len(names)
        mean, std, times = (
            np.array([of[n] for n in names], np.float32).reshape(shape)
            for of in (self.mean, self.std, trust)
        )
        return (x - mean) / std * times


class Windows:
    """Builds batches of one market for one config. Reads nothing after a sample's row.

    Args:
      market: the data.
      config: of the run.
      scaler: fitted on its training rows.
      content: for an ablation, by modality: the row to read in place of each row of the market.
    """

    def __init__(
        self,
        market: Market,
        config: Config,
        scaler: Scaler,
        content: Mapping[str, Int64[np.ndarray, "R"]] | None = None,
    ) -> None:
        for name, modality in config.modalities.items():
            modality.require(name, market, config)
        self.config = config
        self.balance = balance.of_rows(market, config)  # how often each row is drawn
        self.market, self.scaler, self._content = market, scaler, content or {}
        self._readers = {
            name: m.reader(market, config, scaler) for name, m in config.modalities.items()
        }
        vol20 = market.channels[:, market.columns(("vol20",))[0]]
        self._log_scale = np.where(np.isfinite(vol20), vol20, np.float32(scaler.mean["vol20"]))
        self.stack: Any = None

    def starting_from(self, stack: Any) -> "Windows":
        """The same windows with the forecasts of experts, an ``experts.stacked.Stack``."""
        other = copy.copy(self)
        other.stack = stack
        return other

    def expect(self, rows: Int64[np.ndarray, "B"], hidden: frozenset[str] = frozenset()) -> None:
        """Computes what experts say of rows at once: all of them cost little more than a batch."""
        if self.stack is not None and EXPERTS not in hidden:
            self.stack.hiding(hidden)(rows)

    def seeing(self, modalities: Modalities) -> "Windows":
        """The same windows with some of the modalities, and without experts."""
        config = dataclasses.replace(self.config, modalities=modalities)
        content = {k: v for k, v in self._content.items() if k in modalities}
        return Windows(self.market, config, self.scaler, content)

    def __call__(
        self,
        rows: Int64[np.ndarray, "B"],
        targets: Targets,
        weight: Float[np.ndarray, "B"],
        hidden: frozenset[str] = frozenset(),
    ) -> Batch:
        """The batch of ``rows``; modalities named in ``hidden`` are marked absent."""
        inputs, present = {}, {}
        for name, read in self._readers.items():
            source_rows = self._content[name][rows] if name in self._content else rows
            inputs[name], present[name] = read(source_rows)
            if name in hidden:
                present[name] = np.zeros_like(present[name])
        if self.stack is None or EXPERTS in hidden:
            base, log_scale = no_base(self.config, len(rows)), self._log_scale[rows]
        else:
            stack = self.stack.hiding(hidden)
            base, log_scale = stack(rows), stack.log_scale(rows).astype(np.float32)
        return Batch(
            inputs=inputs,
            present=present,
            targets=targets,
            log_scale=log_scale,
            weight=weight,
            sample_id=rows.astype(np.int32),
            base=base,
        )

    def trailing(self, rows: Int64[np.ndarray, "S"]) -> Float[np.ndarray, "S"]:
        """Log of the trailing root mean square daily return of rows."""
        return self._log_scale[rows]

    def describe(self, row: int) -> dict[str, Any]:
        """Where a sample comes from; see ``provenance.describe``."""
        return provenance.describe(self.market, self.config, row)

    def require(self, row: int) -> int:
        """The row, if the market has it.

        Raises:
          InputError: it has not.
        """
        rows = len(self.market.session)
        if not 0 <= row < rows:
            raise InputError(f"there is no sample {row}; this data has 0 to {rows - 1}")
        return row

    def one(self, row: int) -> Batch:
        """One sample without its labels."""
        return self(np.array([row]), unlabelled(self.config.targets, 1), np.ones(1, np.float32))


def dummy_batch(config: Config, rows: int) -> Batch:
    """A batch of zeros with the shapes and dtypes that ``Windows`` gives; needs no data."""
    return Batch(
        inputs={name: m.dummy(config, rows) for name, m in config.modalities.items()},
        present={name: np.zeros(rows, bool) for name in config.modalities},
        targets=unlabelled(config.targets, rows),
        log_scale=np.zeros(rows, np.float32),
        weight=np.zeros(rows, np.float32),
        sample_id=np.zeros(rows, np.int32),
        base=no_base(config, rows),
    )


def no_base(config: Config, rows: int) -> Base | None:
    """Forecasts of experts, all unknown; None if the run does not start from experts."""
    heads = config.stacked_heads
    if not heads:
        return None
    shapes = {k: (rows, len(h.horizons)) for k, h in heads.items()}
    value = {k: np.zeros((*shapes[k], *h.value_shape), np.float32) for k, h in heads.items()}
    return Base(value, {k: np.zeros(shape, bool) for k, shape in shapes.items()})
