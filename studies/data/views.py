"""One feature vector a modality and sample, all in memory: what studies of the fusion run on.

Encoders of real media cost far more than the fusion they feed. Here each modality is a short
vector, so that a fusion is trained hundreds of times in minutes, by the step all training uses.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int64

from fusionjax.errors import InputError
from fusionjax.types import Batch, Input, Targets, VectorInput


@dataclasses.dataclass(frozen=True)
class Views:
    """Samples in time order with a vector for each modality, and their labels."""

    batch: Batch  # numpy, one row a sample; absent modalities hold zeros
    time: Int64[np.ndarray, "S"]  # session number, non-decreasing
    known: Int64[np.ndarray, "S"]  # session number from which the label is known
    split: dict[str, Int64[np.ndarray, "N"]]  # "train", "dev", "test": rows, in time order
    classes: tuple[str, ...]  # of the head "direction"
    dated: bool = False  # times are real: a session's rows are one cluster, the same in each seed
    horizons: tuple[int, ...] = (1,)  # sessions that each label of a sample spans

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities, in order."""
        return tuple(self.batch.inputs)

    @property
    def features(self) -> dict[str, int]:
        """Width of each modality's vector."""
        vectors = self.batch.inputs.items()
        return {name: v.x.shape[1] for name, v in vectors if isinstance(v, VectorInput)}


def targets(
    direction: Int64[np.ndarray, "S"] | None = None,
    log_volatility: Float[np.ndarray, "S H"] | None = None,
) -> Targets:
    """Targets of a study, which has a class a sample, or volatilities, and nothing else."""
    given_labels = [x for x in (direction, log_volatility) if x is not None]
    none = np.zeros((len(given_labels[0]), 1))
    classes = none if direction is None else direction[:, None]
    volatility = none if log_volatility is None else log_volatility
    return Targets(
        {
            "direction": classes.astype(np.int32),
            "returns": none.astype(np.float32),
            "volatility": volatility.astype(np.float32),
        },
        {
            "direction": np.full(classes.shape, direction is not None),
            "returns": none.astype(bool),
            "volatility": np.full(volatility.shape, log_volatility is not None),
        },
    )


@dataclasses.dataclass(frozen=True)
class StudyLabels:
    """The labels of every sample.

    Attributes:
      targets: as ``targets`` makes them.
      known: session from which each label is known; the next one if None.
      classes: names of the direction's classes.
      log_scale: what volatility is stated relative to; 0 if None.
      horizons: sessions that each label of a sample spans. Overlapping labels count as one.
    """

    targets: Targets
    known: Int64[np.ndarray, "S"] | None = None
    classes: tuple[str, ...] = ("down", "up")
    log_scale: Float[np.ndarray, "S"] | None = None
    horizons: tuple[int, ...] = (1,)


def views(
    vectors: dict[str, Float[np.ndarray, "S _"]],
    labels: StudyLabels,
    time: Int64[np.ndarray, "S"],
    split: dict[str, Int64[np.ndarray, "_"]],
    where: object = "views",
    dated: bool = False,
) -> Views:
    """Standardises each vector on the training rows and marks what is missing.

    A row with a value that is not finite counts as missing in that modality, and in no other. A
    feature that never varies in training carries nothing and becomes zero.

    Args:
      vectors: by modality; NaN = missing.
      labels: of every sample.
      time: session number of every sample, non-decreasing.
      split: rows of "train", "dev" and "test".
      where: named in messages.
      dated: see ``Views``.

    Raises:
      InputError: times fall, or a sample has no modality at all.
    """
    if (np.diff(time) < 0).any():
        raise InputError(f"{where}: row {int(np.diff(time).argmin()) + 1} is earlier than the last")
    train = split["train"]
    inputs: dict[str, Input] = {}
    present = {}
    for name, x in vectors.items():
        present_rows = np.isfinite(x).all(1)
        train_rows = x[train][present_rows[train]]
        if len(train_rows):
            mean, std = train_rows.mean(0), train_rows.std(0)
        else:  # absent from all of training: what it holds later cannot be read
            mean, std = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        scaled = np.where(std > 1e-8, (x - mean) / np.where(std > 1e-8, std, 1), 0)
        inputs[name] = VectorInput(np.where(present_rows[:, None], scaled, 0).astype(np.float32))
        present[name] = present_rows & bool(len(train_rows))
    count, scale = len(time), labels.log_scale
    absent = ~np.any(list(present.values()), axis=0)
    if absent[np.concatenate(list(split.values()))].any():
        raise InputError(
            f"{where}: row {int(absent.argmax())} has no modality present; drop it, or add one "
            "that is always there"
        )
    return Views(
        Batch(
            inputs=inputs,
            present=present,
            targets=labels.targets,
            log_scale=np.zeros(count, np.float32) if scale is None else scale,
            weight=np.ones(count, np.float32),
            sample_id=np.arange(count, dtype=np.int32),
        ),
        time,
        time + 1 if labels.known is None else labels.known,
        split,
        labels.classes,
        dated,
        labels.horizons,
    )
