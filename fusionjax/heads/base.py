"""The interface of a head: one entry of ``config.targets``, from its labels to its scores.

A new head is one file: a frozen dataclass under ``@HEADS.register(name)``. Its fields are the keys
of the config entry of that name. The heads of this package are imported while flags are parsed, so
they import NumPy, JAX and packages that need them inside their methods. A user's head need not;
tests/test_extensions.py shows one.

Shapes use the letters of ``types``: S or B samples, H horizons. A forecast has three forms:

- ``outputs`` float [*rows, size]: the head's columns of the fusion's output;
- ``outcome`` [*rows, H, ...]: ``decode`` of the outputs; the loss takes it;
- ``value`` [S, H, ...]: ``prediction`` of an outcome; seeds are averaged and scores computed on it.

Scores, rules and calibration take one horizon at a time: there a value is [S, ...], and the head is
``one`` of its horizons. Updates, modalities, drift and settings are judged at the first.
"""

import abc
import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fusionjax.config import Config, EvaluateConfig
from fusionjax.config.checks import need
from fusionjax.config.key import key
from fusionjax.heads.calibrated import Calibrated
from fusionjax.heads.curves import Calls, Curves

if TYPE_CHECKING:
    import jax
    import numpy as np
    import pandas as pd

    from fusionjax.data.samples import Samples
    from fusionjax.data.store import Market
    from fusionjax.heads.baseline import Baseline
    from fusionjax.heads.outside import Filled, Given
    from fusionjax.scores.intervals import ByDay, Score

# (values of all samples, bool [S]: samples to score, whether values are probabilities) -> scores.
Scorer = Callable[[Any, Any, bool], "dict[str, Score]"]
# Rows [S] of the market -> their log volatility [S].
Scale = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class Scored:
    """Samples with a head's labels at one horizon.

    Attributes:
      market: the data.
      config: of the run.
      row: int [S], the market's last row known at each decision.
      target_day: datetime64[D] [S].
      horizon: sessions ahead.
      label: [S].
      known: bool [S], whether the label counts.
    """

    market: "Market"
    config: Config
    row: Any
    target_day: Any
    horizon: int
    label: Any
    known: Any

    @staticmethod
    def of(
        name: str, samples: "Samples", market: "Market", config: Config, at: int = 0
    ) -> "Scored":
        """The samples with the labels of the head ``name`` at its horizon number ``at``."""
        t, horizon = samples.targets, config.targets[name].horizons[at]
        label, known = t.label[name][:, at], t.mask[name][:, at]
        return Scored(market, config, samples.row, samples.target_day, horizon, label, known)

    @functools.cached_property
    def days(self) -> "np.ndarray":
        """The target days, each once."""
        import numpy as np

        return np.unique(self.target_day)

    @functools.cached_property
    def day(self) -> "np.ndarray":
        """Each sample's position in ``days``."""
        import numpy as np

        return np.searchsorted(self.days, self.target_day)

    @functools.cached_property
    def start(self) -> "np.ndarray":
        """The session (``Market.ordinal``) of each decision."""
        return self.market.ordinal[self.row]

    @functools.cached_property
    def end(self) -> "np.ndarray":
        """The session (``Market.ordinal``) at whose close each label is known, if it ever is."""
        from fusionjax.data.samples import known_at

        return self.market.ordinal[known_at(self.market, self.row, self.horizon)[0]]

    @property
    def observed(self) -> "np.ndarray":
        """The label as float64, NaN where it does not count."""
        import numpy as np

        return np.where(self.known, self.label, np.nan).astype(float)


@dataclasses.dataclass(frozen=True)
class Head(Calibrated, abc.ABC):
    """One entry of ``config.targets``.

    Attributes:
      dtype: of its labels.
      title: of its table of scores.
      shown: metrics in the first columns of its table.
      compared: the one of them that decides better or worse.
      listed: metrics in the ledger's table; no other head may list the same names.
      certain: baseline rules that predict a class without a probability.
      learner: kind of the fitted baselines: "classes" (their value is the probability of class 1),
        "numbers" (regressions), "" (none).
      additive_title: the scale on which explanations add up, in words; of classes log odds.
      loss_title: ``sample_loss`` in words; empty: updates, modalities and drift are judged without
        this head.
      reads_levels: whether a linear map of the modalities' levels (``Modality.levels``) is added to
        its outputs: for labels that are themselves a level.
      fold_loss: the key of ``fold_scores`` that a choice of settings minimises, and its words;
        empty: settings are chosen without this head.
      stackable: whether forecasts may start from values of experts; ``correct`` then adds to them.
      is_scale: whether a value is the log volatility that other heads are scaled by.
      simplest: the expert that others must improve on; empty: the best on later data.
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
    additive_title: ClassVar[str] = ""
    reads_levels: ClassVar[bool] = False
    fold_loss: ClassVar[tuple[str, str]] = ("", "")
    stackable: ClassVar[bool] = False
    is_scale: ClassVar[bool] = False
    simplest: ClassVar[str] = ""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, if labels are class indices; outcomes are then logits [*rows, H, C]."""
        return ()

    @property
    @abc.abstractmethod
    def width(self) -> int:
        """Number of outputs for one horizon."""

    @property
    def size(self) -> int:
        """Number of outputs for all horizons."""
        return len(self.horizons) * self.width

    def one(self, at: int) -> "Head":
        """This head with its horizon number ``at`` alone."""
        return dataclasses.replace(self, horizons=(self.horizons[at],))

    def suffix(self, at: int) -> str:
        """Ends the names of stored columns at its horizon number ``at``: such as ``_5d``; empty at
        the first."""
        return f"_{self.horizons[at]}d" if at else ""

    def check(self, name: str, config: Config) -> None:
        """Checks relations between its keys and to other sections.

        Args:
          name: of its entry.
          config: the whole one.

        Raises:
          InputError: a relation does not hold; names the key, its value and what was expected.
        """
        del config
        need(
            len(set(self.horizons)) == len(self.horizons) > 0 and min(self.horizons) >= 1,
            f"targets.{name}.horizons is {self.horizons}; expected one or more horizons, all "
            "different, of at least 1 session",
        )

    @abc.abstractmethod
    def labels(
        self, market: "Market", rows: "np.ndarray", horizon: int, last: "np.datetime64"
    ) -> "tuple[np.ndarray, np.ndarray]":
        """Labels [S] of market rows, and whether each counts (bool [S]).

        A label counts if it is known, ``horizon`` sessions after its row, by the close of ``last``.
        """

    @abc.abstractmethod
    def decode(self, outputs: "jax.Array", log_scale: "jax.Array") -> "jax.Array":
        """The outcome [*rows, H, ...] of float32 outputs [*rows, size].

        Args:
          outputs: zeros must decode to an uninformed forecast.
          log_scale: [*rows], log of the stock's trailing volatility. Outcomes may be scaled by it,
            so that one head fits quiet and volatile stocks.
        """

    @property
    def value_shape(self) -> tuple[int, ...]:
        """Of a value at one horizon, without its sample."""
        return ()

    def correct(
        self, value: "jax.Array", outputs: "jax.Array", log_scale: "jax.Array"
    ) -> "jax.Array":
        """The outcome [*rows, H, ...] of outputs that correct a value [*rows, H, ...] of experts.

        Outputs of zeros leave the value as it is.
        """
        raise NotImplementedError

    def target(self, label: "jax.Array") -> "jax.Array":
        """Labels [B, H] in the form that the loss takes."""
        return label

    def soften(self, target: "jax.Array", teacher: "jax.Array", share: "jax.Array") -> "jax.Array":
        """Targets mixed with a share of a teacher's outcome; unchanged by default."""
        del teacher, share
        return target

    @abc.abstractmethod
    def loss(
        self, outcome: "jax.Array", target: "jax.Array", log_scale: "jax.Array"
    ) -> "jax.Array":
        """The unweighted training loss [B, H]; the caller masks unknown labels."""

    def prediction(self, outcome: "np.ndarray") -> "np.ndarray":
        """The value [S, H, ...] of an outcome."""
        return outcome

    def sample_loss(self, value: "np.ndarray", label: "np.ndarray") -> "np.ndarray":
        """A proper loss of each sample (float64 [S]); see ``loss_title``."""
        raise NotImplementedError

    def fold_scores(self, value: "np.ndarray", label: "np.ndarray") -> dict[str, float]:
        """Scores of samples with known labels, to choose settings by; see ``fold_loss``."""
        del value, label
        return {}

    @abc.abstractmethod
    def scorer(self, scored: Scored) -> Scorer:
        """A function that scores values of these samples; unknown labels are left out."""

    def unfiltered(self, scored: Scored) -> Scored | None:
        """The same samples with labels for those too that a published protocol leaves out, to be
        scored in a second table; None if the protocol leaves out none."""
        del scored
        return None

    def rules(
        self, train: Scored, last: "np.datetime64", rows: "np.ndarray"
    ) -> "dict[str, np.ndarray]":
        """Baselines by name: values of rows that need no fitting to inputs.

        Args:
          train: samples that may be learned from.
          last: the last day of its labels.
          rows: of the market, to forecast.
        """
        del train, last, rows
        return {}

    def baselines(self) -> "tuple[Baseline, ...]":
        """Baselines that are fitted to labels, at the first horizon; evaluate/baselines.py adds
        those of ``learner``, which are fitted to inputs."""
        return ()

    def scaled_experts(self, log_volatility: Scale) -> "tuple[Baseline, ...]":
        """Experts that are fitted to labels in units of a volatility, which rows have by it."""
        del log_volatility
        return ()

    def filled(self, given: "Given") -> "Filled | None":
        """Values from a file of forecasts; None if it has nothing for this head."""
        del given
        return None

    @abc.abstractmethod
    def columns(
        self, value: "np.ndarray", calibrated: "np.ndarray | None", each: "np.ndarray", s: Scored
    ) -> "dict[str, np.ndarray]":
        """Columns [S] to store for the scored samples; their names must differ from other heads'.

        Args:
          value: mean over seeds.
          calibrated: what ``calibrated`` returned for it.
          each: [seeds, S, ...], of every seed.
          s: the samples.
        """

    @abc.abstractmethod
    def record(
        self, value: "np.ndarray", calibrated: "np.ndarray | None", config: Config
    ) -> dict[str, Any]:
        """One sample's forecast in JSON types, for users.

        Args:
          value: [H, ...].
          calibrated: what ``calibrated`` returned for it, [H, ...].
          config: of the run.

        Returns:
          Entries of the record; dicts of two heads under one key are merged.
        """

    def recorded(self, record: dict[str, Any], at: int) -> Any:
        """The value in a ``record`` at horizon number ``at``, as calibrated; None: it has none."""
        del record, at
        return None

    def tracked(self, value: "np.ndarray", label: "np.ndarray") -> "dict[str, np.ndarray]":
        """What a track record counts of ``recorded`` values, a number a sample: first a loss."""
        from fusionjax.scores import metrics

        loss = {self.loss_title: self.sample_loss(value, label)}
        return loss | (metrics.hits(value, label) if self.class_names else {})

    def headline(self, value: "np.ndarray", scored: Scored) -> list[str]:
        """Lines that stand above the tables."""
        del value, scored
        return []

    def reference(self, train: Scored, scored: Scored) -> Any:
        """An honest forecast of ``scored`` by its past and what ``train`` teaches, to judge
        ``alarms`` by; None if the head needs none."""
        del train, scored
        return None

    def alarms(self, value: "np.ndarray", reference: Any, scored: Scored) -> list[str]:
        """Figures that no honest forecast reaches, each in words; see ``scores.suspicion``.

        Args:
          value: [S, ...], at the first horizon.
          reference: what ``reference`` returned for these samples.
          scored: the samples.
        """
        del value, reference, scored
        return []

    def daily_return(self, value: "np.ndarray", scored: Scored) -> dict[str, float]:
        """Net return of each day if traded by these values, to compare trials on one split; empty
        if the head is not traded."""
        del value, scored
        return {}

    def anomalies(self, rows: "pd.DataFrame", by_day: "ByDay") -> list[str]:
        """Anomalies of stored forecasts, a line each: what is seen, likely cause, where to look."""
        del rows, by_day
        return []

    def curves(
        self, rows: "pd.DataFrame", market: "Market", settings: EvaluateConfig
    ) -> list[Curves]:
        """What the run's page draws of stored forecasts, which are in the order of their days."""
        del rows, market, settings
        return []

    def calls(self, rows: "pd.DataFrame") -> Calls | None:
        """Stored forecasts as marks on prices and as cases; None if they call no direction."""
        del rows
        return None

    def band(self, rows: "pd.DataFrame") -> "tuple[np.ndarray, np.ndarray] | None":
        """Log returns [S] between which the price was expected at the first horizon; None if the
        head has no interval of returns."""
        del rows
        return None

    def watched(self, market: "Market", rows: "np.ndarray") -> "dict[str, np.ndarray]":
        """Series to monitor for drift, by name: float [R] of the label that became known at each
        row; NaN if unknown."""
        del market, rows
        return {}


def rounded(values: Iterable[Any]) -> list[float]:
    """Floats with six digits, for a record."""
    return [round(float(v), 6) for v in values]
