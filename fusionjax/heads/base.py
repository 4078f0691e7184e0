"""What a head is: an entry of ``config.targets`` that knows all that is asked of it.

A new one is a file: a frozen dataclass under ``@HEADS.register(name)`` whose fields are the keys of
its entry, which has the same name. Those of this package are imported while flags are parsed,
before anything heavy: they import NumPy, JAX and the rooms that need them inside their methods. A
user's own need not; tests/test_extensions.py shows one.

Shapes use the letters of ``types``: S or B samples, H horizons. The forecast of a head exists in
three forms: ``outputs`` float [*rows, size], its columns of what the fusion gives; the ``outcome``
[*rows, H, ...] that ``decode`` makes of them, which the loss is of; the ``value`` [S, H, ...] that
``prediction`` makes of an outcome, which seeds are averaged in and scores are of. Scores are of
the first horizon: there a value is [S, ...].
"""

import abc
import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fusionjax.config import Config
from fusionjax.config.checks import need
from fusionjax.config.key import key

if TYPE_CHECKING:
    import jax
    import numpy as np
    import pandas as pd

    from fusionjax.data.samples import Samples
    from fusionjax.data.store import Market
    from fusionjax.scores.bootstrap import ByDay, Score

SMOOTH = 20  # days, of rolling curves

# (values of all samples, bool [S]: those to count, whether values are probabilities) -> scores.
Scorer = Callable[[Any, Any, bool], "dict[str, Score]"]


@dataclasses.dataclass(frozen=True)
class Scored:
    """Samples with a head's labels at its first horizon.

    Attributes:
      market: the data.
      config: of the run.
      row: int [S], of the market, the last one known at each decision.
      target_day: datetime64[D] [S].
      label: [S].
      known: bool [S], whether the label counts.
    """

    market: "Market"
    config: Config
    row: Any
    target_day: Any
    label: Any
    known: Any

    @staticmethod
    def of(name: str, samples: "Samples", market: "Market", config: Config) -> "Scored":
        """The samples as the head of a name sees them."""
        t = samples.targets
        label, known = t.label[name][:, 0], t.mask[name][:, 0]
        return Scored(market, config, samples.row, samples.target_day, label, known)

    @functools.cached_property
    def days(self) -> "np.ndarray":
        """The target days, each once."""
        import numpy as np

        return np.unique(self.target_day)

    @functools.cached_property
    def day(self) -> "np.ndarray":
        """Of each sample, its place in ``days``."""
        import numpy as np

        return np.searchsorted(self.days, self.target_day)

    @functools.cached_property
    def start(self) -> "np.ndarray":
        """The session of each decision, an ordinal."""
        import numpy as np

        return np.searchsorted(np.unique(self.market.session), self.market.session[self.row])

    @property
    def came(self) -> "np.ndarray":
        """The label as float64, NaN where it does not count."""
        import numpy as np

        return np.where(self.known, self.label, np.nan).astype(float)


@dataclasses.dataclass(frozen=True)
class Curves:
    """A figure of the run's page.

    Attributes:
      section: of the page that it stands in.
      title: above it, if any.
      lines: by name, x and y of each.
      x: what x is.
      y: what y is.
    """

    section: Literal["Capital", "Calibration", "Drift"]
    title: str
    lines: dict[str, tuple[Any, Any]]
    x: str = ""
    y: str = ""


@dataclasses.dataclass(frozen=True)
class Head(abc.ABC):
    """One entry of ``config.targets``.

    Attributes:
      dtype: of its labels.
      title: what its table is a table of.
      present: metrics that lead its table.
      compared: the one of them that decides better or worse.
      listed: those that the ledger's table has, under names that no other head lists.
      certain: rules among the baselines that make a call and give no probability.
      learner: the baselines that are fitted to its labels: classifiers, whose value is the
        probability of class 1; regressions; or none.
      loss_title: of ``sample_loss``, in words; a head without takes no part where updates,
        modalities and drift are judged.
      fold_loss: the one of ``fold_scores`` that a choice of settings minimises, and it in words;
        a head without takes no part in the choice.
    """

    horizons: tuple[int, ...] = key((1,), "sessions ahead, one label and one forecast each")
    weight: float = key(1.0, "of its loss in the sum over heads; 0: it is not learned", least=0)

    dtype: ClassVar[str] = "float32"
    title: ClassVar[str]
    shown: ClassVar[tuple[str, ...]]
    compared: ClassVar[str]
    listed: ClassVar[tuple[str, ...]] = ()
    certain: ClassVar[frozenset[str]] = frozenset()
    learner: ClassVar[Literal["classes", "numbers", ""]] = ""
    loss_title: ClassVar[str] = ""
    fold_loss: ClassVar[tuple[str, str]] = ("", "")

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that its labels number, where they do. Of such a head, outcomes are logits
        [*rows, H, C], as outputs are."""
        return ()

    @property
    @abc.abstractmethod
    def width(self) -> int:
        """Outputs a horizon."""

    @property
    def size(self) -> int:
        """Outputs of all horizons."""
        return len(self.horizons) * self.width

    def check(self, name: str, config: Config) -> None:
        """Relations between its keys, and to those of other sections.

        Args:
          name: of its entry.
          config: the whole one.

        Raises:
          InputError: naming the key, what it holds and what was expected.
        """
        del config
        need(
            len(self.horizons) > 0 and min(self.horizons) >= 1,
            f"targets.{name}.horizons is {self.horizons}; expected one or more horizons of at "
            "least 1 session",
        )

    @abc.abstractmethod
    def labels(
        self, market: "Market", rows: "np.ndarray", horizon: int, last: "np.datetime64"
    ) -> "tuple[np.ndarray, np.ndarray]":
        """Labels [S] of some rows of the market, and whether each counts (bool [S]).

        What counts is known by the close of the day ``last``, ``horizon`` sessions after the row.
        """

    @abc.abstractmethod
    def decode(self, outputs: "jax.Array", log_scale: "jax.Array") -> "jax.Array":
        """The outcome [*rows, H, ...] of float32 outputs [*rows, size].

        Args:
          outputs: zeros must mean the plainest forecast.
          log_scale: [*rows], log of the stock's trailing volatility, which outcomes may be
            relative to: so one head serves quiet and wild stocks alike.
        """

    def target(self, label: "jax.Array") -> "jax.Array":
        """Labels [B, H] as the loss wants them."""
        return label

    def soften(self, target: "jax.Array", teacher: "jax.Array", share: "jax.Array") -> "jax.Array":
        """Targets with a share of a teacher's outcome; as they are where that makes no sense."""
        del teacher, share
        return target

    @abc.abstractmethod
    def loss(
        self, outcome: "jax.Array", target: "jax.Array", log_scale: "jax.Array"
    ) -> "jax.Array":
        """The training loss [B, H], of unknown labels too, and whatever the weight."""

    def prediction(self, outcome: "np.ndarray") -> "np.ndarray":
        """The value [S, H, ...] of an outcome."""
        return outcome

    def sample_loss(self, value: "np.ndarray", label: "np.ndarray") -> "np.ndarray":
        """A proper loss of each sample (float64 [S]); see ``loss_title``."""
        raise NotImplementedError

    def fold_scores(self, value: "np.ndarray", label: "np.ndarray") -> dict[str, float]:
        """Scores of known samples, by which settings are chosen; see ``fold_loss``."""
        del value, label
        return {}

    @abc.abstractmethod
    def scorer(self, scored: Scored) -> Scorer:
        """How values of these samples are scored; only those that count are."""

    def rules(
        self, train: Scored, last: "np.datetime64", rows: "np.ndarray"
    ) -> "dict[str, np.ndarray]":
        """Simple forecasts of some rows, by name: values that need no fitting to inputs.

        Args:
          train: what may be learned from.
          last: the last day of its labels.
          rows: of the market, to forecast.
        """
        del train, last, rows
        return {}

    def calibrated(self, value: "np.ndarray", scored: Scored) -> "np.ndarray | None":
        """The values (float64) corrected as time goes on by labels that matured before each; None
        of a head that is not calibrated."""
        del value, scored
        return None

    @abc.abstractmethod
    def columns(
        self, value: "np.ndarray", calibrated: "np.ndarray | None", each: "np.ndarray", s: Scored
    ) -> "dict[str, np.ndarray]":
        """What is stored of each scored sample: columns [S] that no other head has.

        Args:
          value: mean over seeds.
          calibrated: the same, from ``calibrated``.
          each: [seeds, S, ...], of every seed.
          s: the samples.
        """

    @abc.abstractmethod
    def record(
        self, value: "np.ndarray", calibrated: "np.ndarray | None", config: Config
    ) -> dict[str, Any]:
        """One sample's forecast for people, in JSON's types.

        Args:
          value: [H, ...].
          calibrated: at the first horizon.
          config: of the run.

        Returns:
          Entries of the record. Entries of two heads with one key become one.
        """

    def headline(self, value: "np.ndarray", scored: Scored) -> list[str]:
        """What a reader must know before the tables."""
        del value, scored
        return []

    def alarms(self, values: dict[str, float], spread: dict[str, tuple[float, float]]) -> list[str]:
        """What is too good to be true of the scores, each line with its figure.

        Args:
          values: by metric.
          spread: their 95 % intervals.
        """
        del values, spread
        return []

    def daily_return(self, value: "np.ndarray", scored: Scored) -> dict[str, float]:
        """What would have been earned each day, net; trials on one split are compared by it.
        Empty of a head that nothing is bought by."""
        del value, scored
        return {}

    def odd(self, rows: "pd.DataFrame", by_day: "ByDay") -> list[str]:
        """What is odd about stored forecasts: seen, likely cause, where to look."""
        del rows, by_day
        return []

    def curves(self, rows: "pd.DataFrame", market: "Market") -> list[Curves]:
        """What the run's page draws of stored forecasts, which are in the order of their days."""
        del rows, market
        return []

    def watched(self, market: "Market", rows: "np.ndarray") -> "dict[str, np.ndarray]":
        """What is watched for drift of the labels that became known at some rows, by name: a number
        a row (float [R]), NaN if unknown."""
        del market, rows
        return {}


def dates(days: Any) -> list[str]:
    """Days as the x of a curve."""
    import pandas as pd

    return pd.DatetimeIndex(days).strftime("%Y-%m-%d").tolist()


def rounded(values: Iterable[Any]) -> list[float]:
    """Numbers of a record."""
    return [round(float(v), 6) for v in values]
