"""Studies ask before they score a split, as commands do."""

from pathlib import Path

import numpy as np
import pytest

from fusionjax import ledger
from fusionjax.errors import InputError
from studies.configs import planted
from studies.data.views import StudyLabels, Views, targets, views
from studies.fusion.ladder import Cell
from studies.fusion.reading import StudyReading
from studies.schema import StudyConfig


def some(seed: int) -> Views:
    """Classes, which are alike in all data, and a modality that is not."""
    rng = np.random.default_rng(seed)
    time = np.repeat(np.arange(20), 3)
    split = {"train": np.arange(30), "dev": np.arange(30, 45), "test": np.arange(45, 60)}
    labels = StudyLabels(targets(rng.integers(0, 2, 60)))
    return views({"a": rng.normal(size=(60, 4))}, labels, time, split)


@pytest.fixture
def config() -> StudyConfig:
    two = (("equal", {"model.fusion": "equal"}), ("concat", {"model.fusion": "concat"}))
    changes = {"evaluate.locked": ("dev",), "ladder.fusions": two}
    return StudyConfig.of(planted.get_config()).override(changes)


def test_a_study_reads_a_locked_split_once(config: StudyConfig) -> None:
    book = Path("ledger")
    reading = StudyReading("ladder", config, some(0), "dev", book)
    cell = Cell("equal", ("a",), np.zeros((1, 15, 1)), {"accuracy": (50.0, 1.0)}, None, None)
    reading.finish([cell])
    (made,) = ledger.read(book)
    assert made.metrics == {"equal on 1 modalities: accuracy": 50.0}
    assert len(made.trials) == len(config.ladder.fusions) * len(config.ladder.subsets)
    with pytest.raises(InputError, match="A hold-out is read once, and this one was read 1 time"):
        StudyReading("coreset", config, some(0), "dev", Path("another"))
    StudyReading("ladder", config, some(1), "dev", book)  # another market
    for _ in range(2):
        StudyReading("ladder", config, some(0), "test", book)  # not locked


def test_a_split_that_is_not_there_is_named(config: StudyConfig) -> None:
    with pytest.raises(InputError, match="has no split later; it has train, dev, test"):
        StudyReading("ladder", config, some(0), "later", Path("ledger"))
