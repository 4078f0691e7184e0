"""The interface of a fitted baseline: what it learns is arrays, so that it can be kept on disk."""

import abc
import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np

    from fusionjax.data.store import Market
    from fusionjax.heads.base import Scored

Learned = dict[str, "np.ndarray"]


@dataclasses.dataclass(frozen=True)
class Baseline(abc.ABC):
    """A forecaster of one head at one horizon, fitted to labels of a training set.

    Attributes:
      name: in the tables.
      settings: candidates; one is chosen on the folds that settings of the model are chosen on.
      lacks_rows: whether it may have no forecast (NaN) of rows after its first fit.
    """

    lacks_rows: ClassVar[bool] = False

    name: str
    settings: tuple[Any, ...] = (None,)

    @abc.abstractmethod
    def fit(self, train: "Scored", last: "np.datetime64", setting: Any) -> Learned:
        """What it learns, by name: arrays of numbers or bytes, all that ``forecast`` needs.

        Args:
          train: the samples; only known labels may be learned from.
          last: the last day that may be looked at.
          setting: one of ``settings``.
        """

    @abc.abstractmethod
    def forecast(self, learned: Learned, market: "Market", rows: "np.ndarray") -> "np.ndarray":
        """Values [S, ...] of rows of the market, from nothing after each row."""

    @property
    def groups(self) -> tuple[tuple[Any, ...], ...]:
        """The settings, those together whose fits share work: one call of ``fit_group`` each."""
        return tuple((setting,) for setting in self.settings)

    def fit_group(
        self, train: "Scored", last: "np.datetime64", group: tuple[Any, ...]
    ) -> list[Learned]:
        """``fit`` of each setting of one of the ``groups``."""
        return [self.fit(train, last, setting) for setting in group]

    def inputs(self, rows: "np.ndarray") -> str:
        """Tells what it reads beside the market, of some rows, from anything else it may read."""
        del rows
        return ""

    def prepare(self, rows: "np.ndarray") -> None:  # noqa: B027 (most read the market alone)
        """Computes what it reads beside the market of some rows, once for several fits."""

    def loss(self, value: "np.ndarray", label: "np.ndarray") -> "np.ndarray":
        """The loss of each sample that the choice of a setting minimises: the squared error."""
        return (value - label) ** 2
