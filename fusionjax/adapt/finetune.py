"""Fine-tunes a parent on labels that matured since, with replay of older rows."""

import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from fusionjax import files, streams
from fusionjax.adapt import promotion, replay, reselection
from fusionjax.config import Config, Heads, require_same_task
from fusionjax.data import samples
from fusionjax.data.pipeline import Replay
from fusionjax.data.samples import Samples, TrainingData
from fusionjax.data.store import Market
from fusionjax.data.windows import Windows
from fusionjax.errors import InputError
from fusionjax.evaluate import labels, leaks, readings
from fusionjax.evaluate.forecast import merged
from fusionjax.evaluate.inference import Ensemble, read_info, seed_folders
from fusionjax.experts import stacked
from fusionjax.ledger import Result, Subject
from fusionjax.telemetry import say
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.job import Inheritance, Output, Run
from fusionjax.train.loop import fit
from fusionjax.train.program import Program
from fusionjax.train.run import audited_market, make_program
from fusionjax.train.run_info import RunInfo
from fusionjax.train.start import batch_source
from fusionjax.train.state import TrainState


@dataclasses.dataclass(frozen=True)
class Material:
    """The training data of an update.

    Attributes:
      new: samples whose labels matured since the parent's last.
      old: older samples to mix in, or None.
      until: the last day of any label in either.
    """

    new: Samples
    old: Samples | None
    until: np.datetime64

    @property
    def training_data(self) -> TrainingData:
        """The new labels; no meta set, as they are too few to weigh a modality by."""
        return TrainingData(self.new, None, None)

    def replay(self, share: float) -> Replay | None:
        """The old rows as ``share`` of each batch."""
        return None if self.old is None else Replay(self.old, share)


@dataclasses.dataclass(frozen=True)
class Watched:
    """What the drift monitor passes to an update.

    Attributes:
      state: of its detectors, for the child's checkpoints.
      trust: scale of each channel, for the child's scaler; the parent's if None.
    """

    state: dict[str, Any]
    trust: Mapping[str, float] | None = None


def as_training(config: Config) -> Config:
    """The config of an update: ``finetune.*`` copied to the keys it replaces."""
    f = config.finetune
    return config.override(
        {
            "train.split": f.split,
            "train.steps": f.steps,
            "train.extensions": (),
            "train.learning_rate": f.learning_rate,
            "train.warmup_steps": f.warmup_steps,
            "train.frozen": f.frozen,
            "train.lora_rank": f.lora_rank,
            # The new rows are too few to weigh modalities: the parent's fusion weights stay. Which
            # modalities have one at all is asked again (adapt/reselection.py).
            "distill.refit_fraction": 1.0,
        }
    )


def program_for(config: Config, mesh: Mesh, windows: Windows) -> Program:
    """The program of an update; its step takes the parent's parameters if they regularise it."""
    parented = config.finetune.l2_sp > 0 or config.finetune.distillation_weight > 0
    return make_program(config, mesh, windows, parented=parented)


def material(
    market: Market, config: Config, trained: tuple[str, str], until: np.datetime64
) -> Material:
    """The samples whose labels matured after the parent's last, and the replay buffer.

    Args:
      market: the data.
      config: of the update.
      trained: first target day and last label day of everything the parent was trained on.
      until: labels known later are left out.

    Raises:
      InputError: there is no new sample, or no old one although replay is configured.
    """
    f = config.finetune
    first, known = (np.datetime64(day, "D") for day in trained)
    new = samples.matured(market, config, known, until)
    if not len(new):
        raise InputError(
            f"config.finetune.split {f.split!r} {config.data.splits[f.split]} has no session after "
            f"{known}, the last one the parent knew, with a label known by {until}; wait for it, "
            "give later days (--config.finetune.split=FROM:TO), or lower "
            "finetune.promotion_sessions"
        )
    _require_in_time(market, config.targets, new, known, until)
    if f.replay_fraction == 0:
        return Material(new, None, until)
    old = samples.between(market, config, first, known)
    if not len(old):
        raise InputError(
            f"config.finetune.replay_fraction is {f.replay_fraction}, but the data has none of the "
            f"parent's rows ({first} to {known}); add them or set it to 0"
        )
    buffer = replay.buffer(old, f.replay_rows, f.replay_half_life, config.seed)
    return Material(new, buffer, until)


def _require_in_time(
    market: Market, heads: Heads, new: Samples, known: np.datetime64, until: np.datetime64
) -> None:
    """Asserts that every label became known after ``known`` and by ``until``."""
    for name, head in heads.items():
        for i, horizon in enumerate(head.horizons):
            end = market.session[new.row[new.targets.mask[name][:, i]] + horizon]
            assert ((end > known) & (end <= until)).all(), (
                f"a label of {horizon} sessions was known by {known} or is not by {until}"
            )


def start_from(program: Program, params: dict, seed: int) -> TrainState:
    """A state with a parent's averaged parameters and a fresh optimiser."""
    copies = (jax.tree.map(jnp.copy, params) for _ in range(2))  # donated buffers are not shared
    return dataclasses.replace(program.init(seed), params=next(copies), ema_params=next(copies))


def learn(run: Run, material: Material, params: dict, turn: int) -> dict:
    """One update without a run folder; returns the averaged parameters.

    Args:
      run: with a config from ``as_training``.
      material: the training data.
      params: to start from; not changed.
      turn: number of earlier updates; the order of samples depends on it.
    """
    config, program = run.config, run.program
    state, replay = start_from(program, params, config.seed), config.finetune.replay_fraction
    seeded = dataclasses.replace(config, seed=streams.sub_seed(config.seed, "update", turn))
    old = material.replay(replay)
    source = batch_source(seeded, material.training_data, run.windows, old).starting(0)
    parent = params if program.parented else None
    for step_inputs in itertools.islice(source, config.train.steps):
        state, _ = program.step(state, step_inputs, seeded.seed, parent)
    if bool(state.guard.halted):
        raise InputError(
            f"update {turn + 1} is non-finite in step {int(state.step)}; fusionjax finetune on "
            "the same data finds the cause"
        )
    return jax.block_until_ready(state.ema_params)


def finetune(
    parent: Path,
    config: Config,
    mesh: Mesh,
    folder: Path,
    stop: Callable[[int], bool],
    watched: Watched | None = None,
) -> promotion.PromotionDecision | None:
    """Fine-tunes every seed of ``parent`` and decides whether the child may replace it.

    The child starts from the parent's averaged parameters with a fresh optimiser, keeps the
    parent's scaler, and learns from labels of ``finetune.split`` that matured after the parent's
    last; a share of each batch replays the parent's rows. The parent's folder is only read. The
    newest ``finetune.promotion_sessions`` are reserved for the promotion decision, which is
    written to ``gate.json`` in the child's folder.

    Args:
      parent: the run folder, as recorded in the child.
      config: ``finetune.*`` applies; the model must be the parent's.
      mesh: to train on.
      folder: of the child run; one ``seed_*`` folder each.
      stop: see ``fit``.
      watched: for the child's scaler and checkpoints; the parent's if None.

    Returns:
      The promotion decision; None if no session is reserved for it.

    Raises:
      InputError: the model is another one, or there is no new sample.
    """
    info = read_info(parent)
    require_same_task(config, info.config, ("modalities", "targets", "model"))
    f = config.finetune
    config = as_training(config)
    _, until = samples.period(config.data, f.split)
    if until <= np.datetime64(info.trained_until, "D"):  # before the data are opened
        raise InputError(
            f"config.finetune.split {f.split!r} ends on {until}, and {parent} has learned labels "
            f"known by {info.trained_until}; give the new days: --config.finetune.split=FROM:TO"
        )
    market, _ = audited_market(config)
    holdout, until = holdout_of(market, config, info.trained_until, until)
    if holdout is not None:
        _gate_question(parent, market, config, holdout, ()).require_unread()
    data = material(market, config, (info.trained_from, info.trained_until), until)
    scaler = info.scaler
    if watched is not None and watched.trust is not None:
        scaler = dataclasses.replace(scaler, trust=dict(watched.trust))
    windows = stacked.of_run(Windows(market, config, scaler), seed_folders(parent)[0])
    windows = stacked.updated(windows, np.datetime64(info.trained_from, "D"), data.until)
    run = Run(config, windows, program_for(config, mesh, windows))
    days = data.new.target_day
    say(
        f"{config.name}: {len(days):,} new samples, targets {days.min()} to {days.max()}; "
        f"{f.replay_fraction:.0%} of each batch replayed from "
        f"{0 if data.old is None else len(data.old):,}; {f.steps} steps against the "
        f"parent's {info.config.train.steps}"
    )
    question = _question(run, data, parent, (info.trained_from, info.trained_until))
    period = info.trained_from, str(data.until)
    watch = info.watch if watched is None else watched.state
    child = RunInfo(config, market.fingerprint, scaler, *period, parent=None, watch=watch)
    for origin in seed_folders(parent):
        _train(question, child, data, origin, folder / origin.name, stop)
    return None if holdout is None else ask_promotion(parent, folder, market, config, holdout)


def _question(
    run: Run, data: Material, parent: Path, trained: tuple[str, str]
) -> reselection.Question:
    """What the update asks of its modalities; the parent's rows are looked at only if one waits."""
    pasts = [reselection.Past.read(folder) for folder in seed_folders(parent)]
    waits = any("waiting" in past.state.values() for past in pasts if past)
    first, known = (np.datetime64(day, "D") for day in trained)
    old = samples.between(run.market, run.config, first, known)
    nobody = np.zeros(len(run.config.modalities), bool)
    shown = reselection.shown_to(run, old) if waits else nobody
    return reselection.Question(run, data.new, old, shown)


def _train(
    question: reselection.Question,
    child: RunInfo,
    data: Material,
    origin: Path,
    folder: Path,
    stop: Callable[[int], bool],
) -> None:
    """Fine-tunes one seed into its folder."""
    program = question.run.program
    with Checkpoints(origin) as checkpoints:
        inherited = checkpoints.averaged(program.abstract_state.ema_params)
        parent = f"{origin}@{checkpoints.latest()}"
        seed = checkpoints.info().config.seed
    run = question.run.with_seed(seed, f"fine-tune {origin.name}")
    with Checkpoints(folder, run.config.train.keep_checkpoints, create=True) as checkpoints:
        run = dataclasses.replace(run, windows=stacked.kept(run.windows, folder))
        inherited, record = question.ask(origin, inherited)
        if checkpoints.latest() is None:  # else it was told when the training began
            question.tell(run.label, record, folder)
        start = start_from(program, inherited, seed)
        reference = inherited if program.parented else None
        replay = data.replay(run.config.finetune.replay_fraction)
        info = dataclasses.replace(child, config=run.config, parent=parent)
        output = Output(checkpoints, info)
        fit(run, data.training_data, output, Inheritance(start, reference, replay), stop)


def holdout_of(
    market: Market, config: Config, known: str, until: np.datetime64
) -> tuple[Samples | None, np.datetime64]:
    """The promotion holdout and the last day before it; None and ``until`` without a gate."""
    after = samples.matured(market, config, np.datetime64(known, "D"), until)
    if not config.finetune.promotion_sessions or not len(after):
        return None, until
    return promotion.holdout(after, config)


def ask_promotion(
    parent: Path, update: Path, market: Market, config: Config, holdout: Samples
) -> promotion.PromotionDecision:
    """Decides whether an update may replace its parent; writes ``gate.json`` of the update.

    Raises:
      InputError: the holdout is of a locked hold-out that was read before.
    """
    runs = [
        Ensemble(run, merged(config, read_info(run).config), market) for run in (parent, update)
    ]
    reading = _gate_question(update, market, config, holdout, tuple(runs)).begin()
    before, after = (run.predict(holdout.row) for run in runs)
    verdict = promotion.decide(before, after, holdout, config)
    alarms = []
    named = zip(("parent", "update"), (before, after), runs, strict=True)
    for who, forecast, run in named:
        train = samples.between(market, config, *run.learned)
        alarms += leaks.of_prediction(who, forecast, train, holdout, market, config)
    rises = {f"rise of {k}": v[0] for k, v in verdict.rise.items()}
    reading.finish(Result(rises, {}, suspect=tuple(alarms)))
    verdict = dataclasses.replace(verdict, why="; ".join([verdict.why, *reading.warnings]))
    verdict = verdict.unless_suspect(alarms, config.evaluate.leak_alarm_override)
    files.write_text(update / "gate.json", json.dumps(dataclasses.asdict(verdict), indent=1))
    return verdict


def _gate_question(
    run: Path, market: Market, config: Config, holdout: Samples, runs: tuple[Ensemble, ...]
) -> readings.Question:
    """The labels that the promotion gate scores parent and update by."""
    return readings.Question(
        "gate",
        config,
        Subject(
            str(run),
            market.fingerprint,
            runs[-1].seed_numbers if runs else (),
            config.finetune.split,
        ),
        labels.of_samples(market, holdout),
        tuple(map(readings.of_run, runs)),
        tuple(r.info.config for r in runs),
    )
