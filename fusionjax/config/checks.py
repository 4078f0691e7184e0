"""What must hold between settings before any data is seen."""

import dataclasses
import datetime
from typing import TYPE_CHECKING

from fusionjax.errors import InputError
from fusionjax.registry import FUSIONS, HEADS

if TYPE_CHECKING:
    from fusionjax.config import Config


def check(c: "Config") -> None:
    """Relations between keys that a type cannot express.

    Raises:
      InputError: naming the key, what it holds and what was expected.
    """
    _check_counts(c)
    _check_targets(c)
    _check_modalities(c)
    _check_splits(c)
    _check_training(c)
    _check_selection(c)


def need(ok: bool, message: str) -> None:
    """Raises InputError with the message, which names a key, unless ``ok``."""
    if not ok:
        raise InputError(f"config: {message}")


def _check_counts(c: "Config") -> None:
    counts = {
        "data": ("min_history", "audio_hertz", "video_frames", "frames", "frame_features"),
        "model": ("width", "heads", "mlp_ratio", "attention_window"),
        "train": (
            *("steps", "global_batch_size", "grad_accum_steps"),
            *("checkpoint_every", "keep_checkpoints", "log_every", "hang_seconds"),
        ),
        "guard": ("spikes_in_row",),
        "distill": ("every",),
        "selection": ("folds", "fold_sessions", "held_out"),
        "sweep": ("points", "seeds"),
        "finetune": ("steps", "replay_rows", "every", "retrain_every"),
        "evaluate": ("bootstrap_samples", "block_sessions"),
        "drift": ("run_length", "reference_sessions", "recent_sessions"),
    }
    for section, names in counts.items():
        for name in names:
            value = getattr(getattr(c, section), name)
            need(value >= 1, f"{section}.{name} is {value}; expected at least 1")


def _check_selection(c: "Config") -> None:
    s, schemes = c.selection, ("walk_forward", "purged_k_fold", "combinatorial")
    need(s.scheme in schemes, f"selection.scheme is {s.scheme!r}; expected {', '.join(schemes)}")
    need(s.embargo >= 0, f"selection.embargo is {s.embargo}; expected sessions, 0 or more")
    methods = ("grid", "random", "sensitivity")
    need(
        c.sweep.method in methods,
        f"sweep.method is {c.sweep.method!r}; expected {', '.join(methods)}",
    )
    for key, values in c.sweep.space:
        need(
            isinstance(values, list | tuple) and len(values) > 0,
            f"sweep.space gives {key} {values!r}; expected one or more values in brackets",
        )
    least = c.evaluate.abstain_below
    need(0 <= least <= 1, f"evaluate.abstain_below is {least}; expected a probability")
    for split in c.evaluate.locked:
        need(
            split in c.data.splits,
            f"evaluate.locked names {split!r}; data.splits has {', '.join(c.data.splits)}",
        )


def _check_targets(c: "Config") -> None:
    lacking = [name for name in HEADS.built_in if name not in c.targets]
    need(
        not lacking,
        f"targets lacks {', '.join(lacking)}; a head that is not to be learned has weight 0",
    )
    for name, head in c.targets.items():
        head.check(name, c)


def _check_modalities(c: "Config") -> None:
    need(bool(c.modalities), "modalities is empty; give at least one")
    FUSIONS.require(c.model.fusion)
    least = int(any(m.needs_layers for m in c.modalities.values()))
    need(
        c.model.layers >= least,
        f"model.layers is {c.model.layers}; expected at least 1, or 0 where no modality needs any",
    )
    need(
        c.model.width % c.model.heads == 0,
        f"model.width {c.model.width} is not a multiple of model.heads {c.model.heads}",
    )
    for name, m in c.modalities.items():
        sizes = {k: v for k, v in dataclasses.asdict(m).items() if type(v) is int}  # no bool
        need(
            all(v >= 1 for v in sizes.values()),
            f"modalities.{name} is {sizes}; each is at least 1",
        )
        m.check(name, c)


def _check_splits(c: "Config") -> None:
    need(
        c.data.decision_delay_minutes >= 0,
        f"data.decision_delay_minutes is {c.data.decision_delay_minutes}; a decision before the "
        "close would see the close",
    )
    for key in ("train", "evaluate", "finetune"):
        split = getattr(c, key).split
        need(
            split in c.data.splits,
            f"{key}.split is {split!r}; data.splits has {', '.join(c.data.splits)}",
        )
    for name, span in c.data.splits.items():
        for day in span:
            need(_is_date(day), f"data.splits.{name} holds {day!r}; expected YYYY-MM-DD")
        need(
            len(span) == 2 and span[0] <= span[1],
            f"data.splits.{name} is {span}; expected (first day, last day)",
        )


def _check_training(c: "Config") -> None:
    need(
        c.train.global_batch_size % c.train.grad_accum_steps == 0,
        f"train.global_batch_size {c.train.global_batch_size} is not a multiple of "
        f"train.grad_accum_steps {c.train.grad_accum_steps}",
    )
    share, judge = c.train.coreset_share, c.train.coreset_by
    need(0 < share <= 1, f"train.coreset_share is {share}; expected in (0, 1]")
    need(
        (share < 1) == bool(judge),
        f"train.coreset_share is {share} and train.coreset_by {judge!r}; a share below 1 needs a "
        "run folder or 'random' to choose by, and a share of 1 neither",
    )
    g = c.guard
    for key in ("window", "spike", "rebound", "rollbacks", "memory_bytes", "quarantine"):
        value = getattr(g, key)
        need(value >= 0, f"guard.{key} is {value}; expected at least 0")
    need(0 < g.rate < 1, f"guard.rate is {g.rate}; expected in (0, 1)")
    settings = dataclasses.asdict(c.augment)
    groups = settings.pop("numeric_groups")
    for key in ("numeric_jitter", "numeric_scale", "image_shift"):
        value = settings.pop(key)
        need(value >= 0, f"augment.{key} is {value}; expected at least 0")
    for key, value in settings.items():
        need(0 <= value <= 1, f"augment.{key} is {value}; expected in [0, 1]")
    known = {n for m in c.modalities.values() for n in m.channel_names}
    strange = {n for group in groups for n in group} - known
    need(
        not strange,
        f"augment.numeric_groups names {', '.join(sorted(strange))}, no channel of a modality",
    )
    d = c.distill
    need(0 < d.anchor_share < 1, f"distill.anchor_share is {d.anchor_share}; expected in (0, 1)")
    need(0 < d.absorb_share <= 1, f"distill.absorb_share is {d.absorb_share}; expected in (0, 1]")
    need(0 <= d.soft_labels < 1, f"distill.soft_labels is {d.soft_labels}; expected in [0, 1)")
    f = c.finetune
    for key in ("replay_share", "teacher"):
        value = getattr(f, key)
        need(0 <= value < 1, f"finetune.{key} is {value}; expected in [0, 1)")
    for key in ("replay_half_life", "rank", "to_parent", "gate_sessions"):
        value = getattr(f, key)
        need(value >= 0, f"finetune.{key} is {value}; expected at least 0")
    least = max(h.horizons[0] for h in c.targets.values() if h.loss_title)
    need(
        f.gate_sessions == 0 or f.gate_sessions >= least,
        f"finetune.gate_sessions is {f.gate_sessions}; expected 0 or at least {least}, the horizon "
        "of the labels that the gate judges by",
    )
    need(c.train.rank >= 0, f"train.rank is {c.train.rank}; expected at least 0")


def _is_date(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
