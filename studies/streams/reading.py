"""What a study of update rules reads of a stream's labels."""

from collections.abc import Iterable
from pathlib import Path

from fusionjax import ledger
from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.store import Market
from fusionjax.evaluate import labels, readings


def question(
    run: str,
    config: Config,
    market: Market,
    rules: Iterable[str],
    trained: tuple[Config, ...],
    ledger_folder: Path,
) -> readings.Question:
    """The labels of ``finetune.split``, for each rule to be scored by.

    Args:
      run: whose updates are scored.
      config: of the study.
      market: the data.
      rules: each is a trial.
      trained: config of the run.
      ledger_folder: where the ledger is.
    """
    split = config.finetune.split
    setting = readings.of_config(ledger.flat(config))
    return readings.Question(
        "stream",
        config,
        ledger.Subject(run, market.fingerprint, (), split),
        labels.of_samples(market, samples.split(market, config, split)),
        tuple(readings.variant(setting, f"{run} {rule}") for rule in rules),
        trained,
        ledger_folder,
    )
