"""Which extensions a run's seeds have, and which they get next (``train.extensions``)."""

import dataclasses
import json
from pathlib import Path

from fusionjax import files
from fusionjax.config import Config
from fusionjax.errors import InputError
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.run_info import RunInfo, require_same_config

# In the folder of a run while a command extends it: what it extends to. A command that was killed
# leaves it, even where all seeds have made their last step.
_BEGUN = "extending.json"


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
    """The config with one more extension, or with the last one if the command that began it has not
    ended: the same command goes on after a kill.

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
                f"{seed.folder}: was fine-tuned from {seed.info.parent}, and only a training is "
                f"extended; fusionjax finetune --from={seed.folder.parent} learns what has matured "
                "since"
            )
    config = resumed(config, seeds)
    begun = config.train.extensions
    made = all(s.finished and s.extensions == begun for s in seeds)
    if begun and not (made and ended(seeds[0].folder.parent, begun)):
        if steps != begun[-1]:
            raise InputError(
                f"{seeds[0].folder.parent}: its extension by {begun[-1]} steps is not finished; "
                f"finish it with --extend={begun[-1]} before another"
            )
        return config
    return config.override({"train.extensions": (*begun, steps)})


def begin(run: Path, config: Config) -> None:
    """Notes in the folder of a run that a command extends it to ``config.train.extensions``."""
    files.write_text(run / _BEGUN, json.dumps(config.train.extensions))


def end(run: Path) -> None:
    """Notes that such a command has done all its work."""
    (run / _BEGUN).unlink(missing_ok=True)


def ended(run: Path, extensions: tuple[int, ...]) -> bool:
    """Whether no command that extends to these was killed."""
    path = run / _BEGUN
    return not path.exists() or path.read_bytes() != json.dumps(extensions).encode()


def _require_same(seed: Seed, config: Config) -> None:
    own = dataclasses.replace(config, seed=seed.info.config.seed)
    require_same_config(seed.info.config, own, seed.folder)
