"""What a study reads of a split's labels, for the record that every scoring leaves."""

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fusionjax import ledger
from fusionjax.errors import InputError
from fusionjax.evaluate import readings
from fusionjax.evaluate.labels import Labels
from studies.data.views import Views
from studies.fusion.ladder import Cell, flat, with_vectors
from studies.fusion.ladder_table import title
from studies.schema import StudyConfig


class StudyReading:
    """A study's reading of a split, begun and to be finished before anything is shown."""

    def __init__(
        self, kind: str, config: StudyConfig, views: Views, split: str, ledger_folder: Path
    ) -> None:
        """Records that the split is now read by every fusion on every subset of ``config.ladder``.

        Raises:
          InputError: the data has no such split, or it is a locked hold-out that was read before.
        """
        if split not in views.split:
            raise InputError(
                f"config.ladder.data {config.ladder.data} has no split {split}; it has "
                f"{', '.join(views.split)}"
            )
        c, self._started = config.ladder, time.perf_counter()
        whole = with_vectors(config, views)  # overrides may name any modality
        settings = [ledger.flat(whole.override(changes)) for _, changes in c.fusions]
        read = labels(views, split)
        # The splits of a study are not by date.
        dated = config.override({"data.splits": {**config.data.splits, split: read.days}})
        self.reading = readings.Question(
            kind,
            dated,
            ledger.Subject(
                f"{config.name} {c.data}",
                title(config),
                tuple(range(c.first_seed, c.first_seed + c.seeds)),
                split,
            ),
            read,
            tuple(
                readings.variant(readings.of_config(s), f"{kind} {subset}")
                for s in settings
                for subset in c.subsets
            ),
            ledger=ledger_folder,
        ).begin()

    def finish(self, cells: Iterable[Cell]) -> None:
        """Records the scores of cells."""
        metrics = {
            f"{cell.fusion} on {len(cell.subset)} modalities: {name}": mean
            for cell in cells
            for name, (mean, _) in cell.summary.items()
        }
        cost = {"seconds": time.perf_counter() - self._started}
        self.reading.finish(ledger.Result(metrics, cost))


def labels(views: Views, split: str) -> Labels:
    """The samples of a split, each known by its first modality's content, its label and its day.

    Classes alone are alike in all data.
    """
    rows, batch = views.split[split], views.batch
    day = views.time[rows].astype("datetime64[D]")
    _, first, of_day = np.unique(day, return_index=True, return_inverse=True)
    content = flat(batch.inputs[views.names[0]])[rows].mean(1)
    label = sum(x[rows].sum(1) for x in batch.targets.label.values())
    return Labels.of((np.arange(len(rows)) - first[of_day]).astype(str), day, content + label)
