"""Which extensions a run's seeds have, and which they get next (``train.extensions``)."""

import dataclasses
from pathlib import Path

from fusionjax.config import Config
from fusionjax.errors import InputError
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.run_info import RunInfo, require_same_config


@dataclasses.dataclass(frozen=True)
class Seed:
    """What a seed's newest checkpoint says.

    Attributes:
      folder: of the seed.
      info: the run's description.
      step: completed updates.
    """

    folder: Path
    info: RunInfo
    step: int

    @property
    def extensions(self) -> tuple[int, ...]:
        """Those that it has begun."""
        return self.info.config.train.extensions

    @property
    def finished(self) -> bool:
        """Whether all its steps are made."""
        return self.step >= self.info.config.train.last_step


def stored(folders: list[Path]) -> list[Seed]:
    """The seeds of these folders that have a checkpoint."""
    found = []
    for folder in folders:
        if (folder / "checkpoints").is_dir():
            with Checkpoints(folder) as checkpoints:
                if (step := checkpoints.latest()) is not None:
                    found.append(Seed(folder, checkpoints.info(), step))
    return found


def resumed(config: Config, seeds: list[Seed]) -> Config:
    """The config with the extensions that any of the seeds has begun: a plain start of the
    training goes on with them.

    Raises:
      InputError: a seed is of another config.
    """
    longest = max((s.extensions for s in seeds), key=len, default=())
    if longest[: len(config.train.extensions)] == config.train.extensions:
        config = config.override({"train.extensions": longest})
    for seed in seeds:
        _require_same(seed, config)
    return config


def extended(config: Config, seeds: list[Seed], steps: int) -> Config:
    """The config with one more extension, or with the one that a seed has begun: the command that
    began it goes on after a kill.

    Args:
      config: of the run, without its extensions or with them.
      seeds: all of the run; each is extended.
      steps: to train further.

    Raises:
      InputError: too few steps, a fine-tuned run, another config, or an extension by another
        number of steps is not finished.
    """
    if steps < 1:
        raise InputError(f"--extend={steps}: expected a number of further steps, at least 1")
    for seed in seeds:
        if seed.info.parent is not None:
            raise InputError(
                f"{seed.folder}: was fine-tuned from {seed.info.parent}; only a training is "
                "extended, fusionjax finetune --from goes on from an update"
            )
    config = resumed(config, seeds)
    begun = config.train.extensions
    if begun and not all(s.finished and s.extensions == begun for s in seeds):
        if steps != begun[-1]:
            raise InputError(
                f"{seeds[0].folder.parent}: its extension by {begun[-1]} steps is not finished; "
                f"finish it with --extend={begun[-1]} before another"
            )
        return config
    return config.override({"train.extensions": (*begun, steps)})


def _require_same(seed: Seed, config: Config) -> None:
    own = dataclasses.replace(config, seed=seed.info.config.seed)
    require_same_config(seed.info.config, own, seed.folder)
