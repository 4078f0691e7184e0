"""Does a modality matter? Its content is changed under a trained run, or shuffled for training.

A gain counts only against placebos, trainings with the modality's content of other days and other
stocks: noise may "help" merely by regularising.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from jax.sharding import Mesh
from jaxtyping import Int, Int64, Shaped
from rich.progress import Progress

from fusionjax import files, streams
from fusionjax.config import Config, Modalities
from fusionjax.data.samples import Samples, TrainingData, between, period, training_data
from fusionjax.data.store import Market
from fusionjax.data.windows import EXPERTS, Scaler, Windows
from fusionjax.distill import weights
from fusionjax.errors import InputError
from fusionjax.evaluate import leaks
from fusionjax.evaluate.inference import Ensemble, Prediction, predict
from fusionjax.evaluate.losses import rise, sample_losses
from fusionjax.experts import stacked
from fusionjax.scores.intervals import NOT_ENOUGH, Estimate
from fusionjax.train.job import Run
from fusionjax.train.loop import fit
from fusionjax.train.program import Program
from fusionjax.train.run import make_program

Content = Int64[np.ndarray, "R"]  # for every row of the market, the row whose content is shown
_ONLY = "only"  # begins what a training on one modality is called
_FEWEST = 2  # placebos, for a spread


@dataclasses.dataclass(frozen=True)
class Effect:
    """How one change of a modality's content raises a run's losses; above 0 is worse."""

    modality: str
    what: str
    rise: dict[str, Estimate]  # by loss


def contents(market: Market, samples: Samples, seed: int = 0) -> dict[str, Content]:
    """Replacements for a modality's content on the rows of some samples, by their description.

    Constant: the first sample's content. Shuffled: that of a random stock of the same day. Another
    stock: that of the next symbol of the same day. The last two need several stocks a day and are
    left out otherwise.
    """
    identity = np.arange(len(market.session))
    constant = identity.copy()
    constant[samples.row] = samples.row[0]
    replacements = {"constant": constant}
    rng = streams.generator(seed, "shuffled content")
    order = np.lexsort((market.symbol[samples.row], samples.target_day))
    row, day = samples.row[order], samples.target_day[order]
    starts = np.flatnonzero(np.concatenate([[True], day[1:] != day[:-1]]))
    groups = np.split(row, starts[1:])
    if max(len(g) for g in groups) < 2:
        return replacements
    shuffled, other = identity.copy(), identity.copy()
    for group in groups:
        shuffled[group], other[group] = rng.permutation(group), np.roll(group, -1)
    return replacements | {"shuffled within the day": shuffled, "from another stock": other}


def require_placebos(count: int) -> None:
    """Raises InputError for fewer placebos than a spread needs."""
    if count < _FEWEST:
        raise InputError(f"--placebos={count}: give at least {_FEWEST}, better 20 or more")


def placebo(market: Market, parts: Iterable[np.ndarray], seed: int) -> Content:
    """Content of other days and other stocks, from the same part of the rows.

    See ``moved``: what a day's stocks share, and what a stock keeps, stays shared and kept, so that
    noise of either kind looks in a placebo as it does in truth.
    """
    rng, content = streams.generator(seed, "placebo"), np.arange(len(market.session))
    for rows in parts:
        content[rows] = rows[moved(market.symbol[rows], market.session[rows], rng)]
    return content


def moved(
    symbol: Int[np.ndarray, "N"], session: Shaped[np.ndarray, "N"], rng: np.random.Generator
) -> Int64[np.ndarray, "N"]:
    """For each sample another: all days are moved by one distance in a circle, and stocks permuted.

    The distance is at least an eighth of the days, so that what lasts is far from its place.
    Where the permuted stock has no sample on the moved day, another stock of that day stands in.

    Args:
      symbol: the stock of each sample.
      session: its day.
      rng: draws the distance and the permutation.
    """
    days, day = np.unique(session, return_inverse=True)
    stocks, stock = np.unique(symbol, return_inverse=True)
    margin = min(-(-len(days) // 8), len(days) // 2)
    distance = int(rng.integers(margin, len(days) - margin + 1))
    wanted_day = (day + distance) % len(days)
    wanted = wanted_day * len(stocks) + rng.permutation(len(stocks))[stock]
    place = day * len(stocks) + stock
    order = np.lexsort((rng.random(len(place)), place))
    found = np.searchsorted(place[order], wanted)
    there = np.take(place[order], found, mode="clip") == wanted
    first = np.searchsorted(place[order], wanted_day * len(stocks))
    count = np.bincount(day, minlength=len(days))[wanted_day]
    stand_in = first + (rng.random(len(place)) * count).astype(int)
    return order[np.where(there, found, stand_in)]


def of_content(run: Ensemble, market: Market, config: Config, scored: Samples) -> list[Effect]:
    """How a trained run's losses rise if one modality is emptied, replaced or the only one."""
    names = [*config.modalities, *([EXPERTS] if config.stacked_heads else [])]
    unchanged = sample_losses(run.predict(scored.row), scored, config.targets)
    effects, replacements = [], contents(market, scored)
    for name in names:
        changed = {"empty": run.predict(scored.row, frozenset({name}))}
        for what, content in replacements.items() if name != EXPERTS else ():
            windows = Windows(market, config, run.info.scaler, {name: content})
            changed[what] = run.with_windows(windows).predict(scored.row)
        if len(names) > 1:
            changed["alone"] = run.predict(scored.row, frozenset(names) - {name})
        for what, prediction in changed.items():
            losses = sample_losses(prediction, scored, config.targets)
            effects.append(Effect(name, what, rise([losses], [unchanged], scored, config)))
    return effects


@dataclasses.dataclass(frozen=True)
class Worth:
    """What training with a modality's real content gains over placebos of it.

    Attributes:
      gain: by loss: mean over placebos and days of placebo less real.
      rank: by loss: the share of placebo trainings that are at least as good as the mean real one.
    """

    modality: str
    gain: dict[str, Estimate]
    rank: dict[str, float]
    without: dict[str, Estimate]  # the rise when trained without it
    alone: dict[str, Estimate]  # the rise when trained on it alone

    @property
    def verdict(self) -> str:
        """Used if it beats its placebos in any loss beyond the interval, else not used."""
        better = [k for k, gain in self.gain.items() if gain.interval()[0] > 0]
        if better:
            return f"used ({', '.join(better)})"
        unknown = any(np.isinf(gain.error) for gain in self.gain.values())
        return NOT_ENOUGH if unknown else "not used"


class Trainings:
    """Trains variants of one config, each once: forecasts are stored in ``folder``."""

    def __init__(
        self, market: Market, config: Config, mesh: Mesh, scored: Samples, folder: Path
    ) -> None:
        first, last = period(config.data, config.train.split)
        self._market, self._config, self._mesh, self._folder = market, config, mesh, folder
        self._scored, self._scaler = scored, Scaler.fit(market, last)
        self._training_data: TrainingData = training_data(
            market, config, first, last, weights.meta_fraction(config)
        )
        self._programs: dict[tuple[tuple[str, ...], bool], Program] = {}

    def placebo(self, seed: int) -> Content:
        """Content moved among training and among scored samples."""
        parts = (self._training_data.all.row, self._scored.row)
        return placebo(self._market, parts, seed)

    def alone(self, modality: str, seed: int) -> Prediction:
        """The forecast of a training that sees one modality only, without experts."""
        return self.forecast(f"{_ONLY} {modality}", (modality,), seed, {})

    def forecast(
        self, what: str, modalities: tuple[str, ...], seed: int, content: dict[str, Content]
    ) -> Prediction:
        """The forecast of one training of the given modalities."""
        config = dataclasses.replace(
            self._config,
            seed=seed,
            modalities={m: self._config.modalities[m] for m in modalities},
        )
        if what.startswith(_ONLY):
            config = config.override({"distill.experts": (), "distill.expert_files": {}})
        key = hashlib.sha256(f"{config.to_json()} {self._market.fingerprint}".encode())
        key.update(self._scored.row.tobytes())
        path = self._folder / f"{what}-{seed}-{key.hexdigest()[:12]}.npz"
        if path.exists():
            with np.load(path, allow_pickle=False) as f:
                return Prediction.of_arrays(f)
        last = period(self._config.data, self._config.train.split)[1]
        windows = Windows(self._market, config, self._scaler, content)
        windows = stacked.started(windows, self._training_data, last)
        kind = modalities, bool(config.stacked_heads)
        if kind not in self._programs:
            self._programs[kind] = make_program(
                config, self._mesh, windows, self._training_data.meta_sessions
            )
        program = self._programs[kind]
        state = fit(Run(config, windows, program, what), self._training_data)
        size = config.train.global_batch_size
        prediction = predict(program, state.ema_params, windows, self._scored.row, size)
        with files.replaced(path) as f:
            np.savez(f, allow_pickle=False, **prediction.arrays())
        return prediction


def worth(
    trainings: Trainings,
    config: Config,
    scored: Samples,
    placebos: int,
    seeds: int,
    progress: Progress,
) -> Iterator[Worth]:
    """Trains every modality's placebos, and the config without and with it alone.

    Args:
      trainings: of the config.
      config: of the trainings.
      scored: samples to score on.
      placebos: number of placebos of each modality.
      seeds: trainings of the real content, without a modality, and of it alone.
      progress: shows how many trainings are done.

    Raises:
      InputError: fewer than two placebos.
    """
    require_placebos(placebos)
    names = tuple(config.modalities)
    total = seeds + len(names) * (placebos + (2 * seeds if len(names) > 1 else 0))
    bar = progress.add_task("trainings", total=total, note="")

    def train(what: str, modalities: tuple[str, ...], seed: int, content: dict) -> dict:
        progress.update(bar, note=f"{what}, seed {seed}")
        losses = sample_losses(
            trainings.forecast(what, modalities, seed, content), scored, config.targets
        )
        progress.advance(bar)
        return losses

    real = [train("real", names, s, {}) for s in range(seeds)]
    for name in names:
        shuffled = [
            train(f"placebo of {name}", names, k, {name: trainings.placebo(k)})
            for k in range(placebos)
        ]
        others = tuple(n for n in names if n != name)
        without, alone = (
            [train(f"{what} {name}", modalities, s, {}) for s in range(seeds)] if others else real
            for what, modalities in (("without", others), (_ONLY, (name,)))
        )
        means = {k: np.nanmean([r[k] for r in real]) for k in real[0]}
        yield Worth(
            name,
            rise(shuffled, real, scored, config, one_draw=True),
            {k: float(np.mean([np.nanmean(p[k]) <= means[k] for p in shuffled])) for k in means},
            rise(without, real, scored, config),
            rise(alone, real, scored, config),
        )


def numbers(effects: list[Effect]) -> dict[str, float]:
    """The mean rise of each loss by each change, by name."""
    return {f"{e.modality} {e.what}: {k}": v.value for e in effects for k, v in e.rise.items()}


def effects_table(effects: list[Effect]) -> pd.DataFrame:
    """One row for each modality and change."""
    rows = [{"modality": e.modality, "content": e.what} | _intervals(e.rise) for e in effects]
    return pd.DataFrame(rows).set_index("modality")


def suspect_table(run: Ensemble, market: Market, config: Config, scored: Samples) -> pd.DataFrame:
    """The leak alarms of the run as it is, a row each: of such a run no part's worth is known."""
    train, forecast = between(market, config, *run.learned), run.predict(scored.row)
    lines = leaks.of_prediction("the run", forecast, train, scored, market, config)
    answer = config.evaluate.leak_alarm_override.strip() or "none: SUSPECT"
    return pd.DataFrame({"answer": answer}, index=pd.Index(lines, name="leak alarm", dtype=str))


def worth_table(results: list[Worth], weight: dict[str, tuple[float, float]]) -> pd.DataFrame:
    """One row for each modality; ``weight`` holds mean and standard deviation over seeds."""
    rows = []
    for result in results:
        mean, std = weight[result.modality]
        rows.append(
            {
                "modality": result.modality,
                **{f"placebo − real: {k}": v for k, v in _intervals(result.gain).items()},
                **{f"placebos as good: {k}": f"{100 * r:.0f} %" for k, r in result.rank.items()},
                **{f"without − real: {k}": v for k, v in _intervals(result.without).items()},
                **{f"alone − real: {k}": v for k, v in _intervals(result.alone).items()},
                "weight": f"{mean:.3f} ± {std:.3f}",
                "verdict": result.verdict,
            }
        )
    return pd.DataFrame(rows).set_index("modality")


def fusion_weights(
    run: Ensemble, modalities: Modalities, scored: Samples
) -> dict[str, tuple[float, float]]:
    """Mean fusion weight where present, and its standard deviation over seeds."""
    each = np.stack([p.modality_weight for p in run.predict_each(scored.row)]).astype(float)
    each = np.where(each > 0, each, np.nan)
    by_seed = np.nanmean(each, axis=1)
    spread = by_seed.std(0, ddof=1) if len(by_seed) > 1 else np.full(by_seed.shape[1], np.nan)
    return {m: (float(by_seed[:, i].mean()), float(spread[i])) for i, m in enumerate(modalities)}


def _intervals(rise: dict[str, Estimate]) -> dict[str, str]:
    return {k: _words(e) for k, e in rise.items()}


def _words(estimate: Estimate) -> str:
    if np.isinf(estimate.error):
        return f"{estimate.value:+.4f} ({NOT_ENOUGH})"
    low, high = estimate.interval()
    return f"{estimate.value:+.4f} [{low:+.4f}, {high:+.4f}]"
