"""The interface of a modality: one entry of ``config.modalities``.

A new modality is a file with a frozen dataclass under ``@MODALITIES.register(kind)``, whose fields
are its config keys. The modules of this package are imported while flags are parsed, so they import
NumPy and JAX inside their methods. Your own need not: see tests/test_extensions.py.
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

# From row indices [B] to arrays by name that begin with B.
RawReader = Callable[[Any], "dict[str, np.ndarray]"]


@dataclasses.dataclass(frozen=True)
class Pixels:
    """A grey picture for display: uint8 [height, width]."""

    grey: Any


@dataclasses.dataclass(frozen=True)
class Heat:
    """A heat map for display: float [rows, columns], row 0 on top."""

    values: Any


@dataclasses.dataclass(frozen=True)
class Quotes:
    """Texts for display: (author, text), newest first, and how many more there are."""

    texts: list[tuple[str, str]]
    more: int


Picture = Pixels | Heat | Quotes


@dataclasses.dataclass(frozen=True)
class Parts:
    """Parts of one kind of a sample's input, for explanations: another sample's same part can stand
    in for each.

    Attributes:
      kind: what each of them is, in one word, such as "session".
      names: of each.
      inside: in the structure of the input, bool arrays [P, ...]: what belongs to each part. They
        broadcast with the input's arrays, without the leading B of these.
    """

    kind: str
    names: list[str]
    inside: Any


@dataclasses.dataclass(frozen=True)
class Modality(abc.ABC):
    """One entry of ``config.modalities``.

    Attributes:
      kind: the name under which it is registered.
      folder: subfolder of a market folder with its files (``modalities.media``); empty if none.
      needs_layers: whether its encoder has ``model.layers`` layers, at least one.
    """

    kind: str
    folder: ClassVar[str] = ""
    needs_layers: ClassVar[bool] = True

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The channels of the bars that it uses."""
        return ()

    @property
    def shows_prices(self) -> bool | None:
        """Whether it shows prices, so that forecasts may be scaled by the trailing volatility
        where it is present; None if unknown."""
        return False

    def check(self, name: str, config: Config) -> None:  # noqa: B027 (many have none)
        """Checks its keys against each other and other sections; integers are already at least 1.

        Args:
          name: of its entry.
          config: the whole config.

        Raises:
          InputError: naming the key, what it holds and what was expected.
        """

    def require(self, name: str, market: "Market", config: Config) -> None:  # noqa: B027
        """Checks that the market has the data that it reads.

        Raises:
          InputError: naming its entry and what is missing.
        """

    @classmethod
    def moments(cls, market: "Market", used: "np.ndarray") -> dict[str, tuple[float, float]]:
        """Mean and standard deviation, over the bars in ``used`` (bool [R]), of features that are
        not channels of the bars, by unique names. ``reader`` finds them in its scaler."""
        return {}

    @abc.abstractmethod
    def reader(self, market: "Market", config: Config, scaler: "Scaler") -> Reader:
        """``read(rows)``: the input of rows of the market, and bool [B]: whether it is present.

        Uses nothing after a row. Absent values are zeros; shapes and dtypes are those of ``dummy``.
        """

    @abc.abstractmethod
    def dummy(self, config: Config, rows: int) -> "Input":
        """Zeros with the shapes and dtypes that ``reader`` gives; needs no data."""

    def raw(self, market: "Market", config: Config, scaler: "Scaler") -> RawReader:
        """``read(rows)``: by name, what ``preprocess`` takes; by default what ``reader`` gives."""
        import jax

        read = self.reader(market, config, scaler)

        def raw(rows: "np.ndarray") -> "dict[str, np.ndarray]":
            value, present = read(rows)
            leaves = jax.tree_util.tree_leaves_with_path(value)
            named = {jax.tree_util.keystr(p, simple=True, separator="/"): x for p, x in leaves}
            return {"present": present, **named}

        return raw

    def raw_units(self, config: Config) -> dict[str, str]:
        """What each entry of ``raw`` holds and in which unit, for who has to provide it."""
        text = f"of kind {self.kind}, as fusionjax prepare and the window of config make it"
        return {"present": "whether the modality is there"} | dict.fromkeys(
            _paths(self, config), text
        )

    def preprocess(
        self, raw: "dict[str, jax.Array]", config: Config, scaler: "Scaler"
    ) -> "tuple[Input, jax.Array]":
        """What ``reader`` gives, from ``raw``, on the device; a program that is exported has it."""
        import jax

        structure = jax.tree.structure(self.dummy(config, 1))
        leaves = [raw[name] for name in _paths(self, config)]
        return jax.tree.unflatten(structure, leaves), raw["present"]

    @abc.abstractmethod
    def encoder(self, config: ModelConfig, deterministic: bool) -> "nn.Module":
        """A module ``(input, before: Tokens | None) -> Tokens``; see ``layers.order_after``."""

    def levels(self, value: "Input") -> "jax.Array | None":
        """Levels [B, L] of an input on the device, for heads with ``reads_levels``; zeros where it
        is absent or a value is missing. None: the kind has none."""
        return None

    def pretrained(self) -> dict[str, Any]:
        """Pretrained parameters, by the name of the encoder's submodule."""
        return {}

    def augment(self, value: "Input", settings: AugmentConfig, key: "jax.Array") -> "Input":
        """Augments a training input on the device; settings of zero change nothing."""
        return value

    @abc.abstractmethod
    def pooled(self, value: "Input", present: "np.ndarray") -> "np.ndarray":
        """Summary features for linear models and trees: float [B, F], NaN where missing."""

    def of_one_session(self) -> "Modality":
        """A copy with a look-back of one session."""
        return self

    def daily(self, market: "Market", rows: "np.ndarray") -> "dict[str, np.ndarray]":
        """Values monitored for drift, by name: float [B], NaN if unknown."""
        return {}

    def sources(self, market: "Market", data: DataConfig, row: int) -> list[str]:
        """Descriptions of the data in a sample: its bars, texts or files."""
        return []

    def parts(self, value: "Input", market: "Market", row: int) -> list[Parts]:
        """What a sample's input consists of, by each way to divide it; none if only the whole can
        be explained. Arguments as of ``picture``."""
        return []

    def picture(self, value: "Input", market: "Market", row: int) -> Picture | None:
        """A picture of a sample for display.

        Args:
          value: its input, without the leading B.
          market: the data.
          row: of the sample.
        """
        return None


def _paths(modality: Modality, config: Config) -> list[str]:
    """Names of the arrays of an input, in the order of its leaves."""
    import jax

    leaves = jax.tree_util.tree_leaves_with_path(modality.dummy(config, 1))
    return [jax.tree_util.keystr(p, simple=True, separator="/") for p, _ in leaves]
