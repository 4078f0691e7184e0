"""Fine-tuning: a parent's parameters, the rows after its last matured label, and some old ones."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from fusionjax.config import Config, require_same_task
from fusionjax.data import samples
from fusionjax.data.samples import Lesson, Samples
from fusionjax.data.store import Market
from fusionjax.data.windows import Windows
from fusionjax.errors import InputError
from fusionjax.train.checkpoint import Checkpoints, RunInfo
from fusionjax.train.loop import fit
from fusionjax.train.run import audited_market, make_program
from fusionjax.train.telemetry import say


def finetune(
    parent: Path,
    seeds: list[Path],
    config: Config,
    mesh: Mesh,
    folder: Path,
    stop: Callable[[int], bool],
) -> None:
    """Makes a child run of every seed of ``parent``.

    The child starts from the parent's averaged parameters with a fresh optimiser, keeps the
    parent's scaler, and learns from ``finetune.split`` cut to the days after the last label that
    the parent may have seen; a share of each batch replays the parent's own rows. The parent is
    only read.

    Args:
      parent: the run folder, as recorded in the child.
      seeds: its seed folders.
      config: ``finetune.*`` governs; the model must be the parent's.
      mesh: to train on.
      folder: of the child run; one ``seed_*`` folder each.
      stop: see ``fit``.

    Raises:
      InputError: another model, or no new row.
    """
    with Checkpoints(seeds[0]) as checkpoints:
        info = checkpoints.info()
    require_same_task(config, info.config, ("modalities", "targets", "model"))
    f = config.finetune
    config = config.override(
        {
            "train.split": f.split,
            "train.steps": f.steps,
            "train.learning_rate": f.learning_rate,
            "train.warmup_steps": f.warmup_steps,
            "train.frozen": f.frozen,
            # The new rows are too few to judge a modality: the parent's fusion weights stay.
            "distill.absorb_share": 1.0,
        }
    )
    market, _ = audited_market(config)
    new, old = _new_and_old(market, config, info, parent)
    windows = Windows(market, config, info.scaler)
    program = make_program(config, mesh, windows)
    say(
        f"{config.name}: {len(new):,} new samples, targets {new.target_day.min()} to "
        f"{new.target_day.max()}; {f.replay_share:.0%} of each batch replayed from "
        f"{len(old):,}; {f.steps} steps against the parent's {info.config.train.steps}"
    )
    for seed_folder in seeds:
        with Checkpoints(seed_folder) as checkpoints:
            inherited = checkpoints.restore(program.abstract_state).ema_params
            origin = f"{seed_folder}@{checkpoints.latest()}"
            seed = checkpoints.info().config.seed

        start = dataclasses.replace(
            program.init(seed), params=inherited, ema_params=jax.tree.map(jnp.copy, inherited)
        )
        child = RunInfo(
            dataclasses.replace(config, seed=seed),
            market.fingerprint,
            info.scaler,
            info.trained_from,
            config.data.splits[f.split][1],
            parent=origin,
        )
        with Checkpoints(
            folder / seed_folder.name, config.train.keep_checkpoints, create=True
        ) as checkpoints:
            fit(
                child.config,
                program,
                Lesson(new, None, None),
                windows,
                start=start,
                label=f"fine-tune {seed_folder.name}",
                run=(checkpoints, child),
                replay=old,
                replay_share=f.replay_share,
                stop=stop,
            )


def _new_and_old(
    market: Market, config: Config, info: RunInfo, parent: Path
) -> tuple[Samples, Samples]:
    """The samples after the parent's last matured label, and those it may have learned from.

    Raises:
      InputError: there is none of the one, or of the other where a batch should hold some.
    """
    f, known_until = config.finetune, np.datetime64(info.trained_until, "D")
    new = samples.split(market, config, f.split)
    new = new.take(new.target_day > known_until)
    if not len(new):
        raise InputError(
            f"config.finetune.split {f.split!r} {config.data.splits[f.split]} has no "
            f"session after {known_until}, the last one the parent {parent} knew"
        )
    old = samples.between(market, config, np.datetime64(info.trained_from, "D"), known_until)
    if f.replay_share > 0 and not len(old):
        raise InputError(
            f"config.finetune.replay_share is {f.replay_share}, but the data has none of the "
            f"parent's rows ({info.trained_from} to {known_until}); add them or set it to 0"
        )
    return new, old
