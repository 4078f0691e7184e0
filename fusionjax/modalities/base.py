"""The interface of a modality: all that the package needs to know of an entry of the config.

A new one is a file: a frozen dataclass under ``@MODALITIES.register(kind)`` whose fields are the
keys of its entry. Those of this package are imported while flags are parsed, so they import NumPy,
JAX and what is built on them inside their methods. A user's own need not; tests/test_extensions.py
shows one.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from fusionjax.config import AugmentConfig, Config, DataConfig, ModelConfig

if TYPE_CHECKING:
    import jax
    import numpy as np
    from flax import linen as nn

    from fusionjax.data.store import Market
    from fusionjax.data.windows import Scaler
    from fusionjax.types import Input

# From row indices [B] to an input whose arrays begin with B, and bool [B]: whether it is there.
Reader = Callable[[Any], tuple[Any, Any]]


@dataclasses.dataclass(frozen=True)
class Pixels:
    """A picture for people: uint8 [height, width], grey."""

    grey: Any


@dataclasses.dataclass(frozen=True)
class Heat:
    """A table of numbers for people: float [rows, columns], row 0 on top."""

    values: Any


@dataclasses.dataclass(frozen=True)
class Quotes:
    """Texts for people, each with its author, newest first, and how many older ones there are."""

    texts: list[tuple[str, str]]
    more: int


Picture = Pixels | Heat | Quotes


@dataclasses.dataclass(frozen=True)
class Modality(abc.ABC):
    """One entry of ``config.modalities``.

    Attributes:
      kind: the name that it is registered by.
      folder: of a market folder, where its files lie (``modalities.media``); empty if it has none.
      needs_layers: whether its encoder has ``model.layers`` layers, at least one.
    """

    kind: str
    folder: ClassVar[str] = ""
    needs_layers: ClassVar[bool] = True

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The channels of the bars that it shows under their names."""
        return ()

    @property
    def shows_prices(self) -> bool | None:
        """Whether a forecast may be scaled by the trailing volatility where it is present; None
        if it does not say what it shows."""
        return False

    def check(self, name: str, config: Config) -> None:  # noqa: B027 (many have none)
        """Relations between its keys, and to those of other sections; whole numbers are at least 1
        already.

        Args:
          name: of its entry.
          config: the whole one.

        Raises:
          InputError: naming the key, what it holds and what was expected.
        """

    def require(self, name: str, market: "Market", config: Config) -> None:  # noqa: B027
        """Refuses a market that lacks what it shows.

        Raises:
          InputError: naming its entry and what is missing.
        """

    @classmethod
    def moments(cls, market: "Market", used: "np.ndarray") -> dict[str, tuple[float, float]]:
        """Mean and standard deviation over the bars in ``used`` (bool [R]) of what it shows beside
        the bars' channels, by a name of its own. ``reader`` finds them in its scaler."""
        return {}

    @abc.abstractmethod
    def reader(self, market: "Market", config: Config, scaler: "Scaler") -> Reader:
        """``read(rows)``: what it shows of some rows of the market, and where it is present.

        Reads nothing after a row. Absent values are zeros, and the result has the shapes and dtypes
        of ``blank``.
        """

    @abc.abstractmethod
    def dummy(self, config: Config, rows: int) -> "Input":
        """Zeros of the shapes and dtypes that ``reader`` gives, known before any data is read."""

    @abc.abstractmethod
    def encoder(self, config: ModelConfig, deterministic: bool) -> "nn.Module":
        """A module ``(input, before: Tokens | None) -> Tokens``."""

    def pretrained(self) -> dict[str, Any]:
        """Parameters that training begins from, by the name of the encoder's submodule."""
        return {}

    def augment(self, value: "Input", settings: AugmentConfig, key: "jax.Array") -> "Input":
        """A training input changed at random, on the device. Settings of zero change nothing."""
        return value

    @abc.abstractmethod
    def pooled(self, value: "Input", present: "np.ndarray") -> "np.ndarray":
        """A flat view of an input for linear models and trees: float [B, F], NaN where missing."""

    def of_one_session(self) -> "Modality":
        """The same with a look-back of one session: what a day itself holds."""
        return self

    def daily(self, market: "Market", rows: "np.ndarray") -> "dict[str, np.ndarray]":
        """What is watched of it for drift, by name: a number a row (float [B]), NaN if unknown."""
        return {}

    def sources(self, market: "Market", data: DataConfig, row: int) -> list[str]:
        """What a sample of it is made of, in words."""
        return []

    def picture(self, value: "Input", market: "Market", row: int) -> Picture | None:
        """What people are shown of a sample.

        Args:
          value: its input, without the leading B.
          market: the data.
          row: of the sample.
        """
        return None
