"""Checks of a config that need no data."""

import dataclasses
import datetime
from typing import TYPE_CHECKING

from fusionjax.config.key import check_bounds
from fusionjax.errors import InputError
from fusionjax.registry import FUSIONS, SOURCES

if TYPE_CHECKING:
    from fusionjax.config import Config


def check(c: "Config") -> None:
    """Checks bounds of keys and relations between them.

    Raises:
      InputError: naming the key, what it holds and what was expected.
    """
    for f in dataclasses.fields(c):
        if dataclasses.is_dataclass(section := getattr(c, f.name)):
            check_bounds(section, f.name)
    SOURCES.require(c.data.source)
    _check_targets(c)
    _check_modalities(c)
    _check_splits(c)
    _check_training(c)
    _check_selection(c)


def need(ok: bool, message: str) -> None:
    """Raises InputError with the message, which names a key, unless ``ok``."""
    if not ok:
        raise InputError(f"config: {message}")


def _check_selection(c: "Config") -> None:
    for key, values in c.sweep.space:
        need(
            isinstance(values, list | tuple) and len(values) > 0,
            f"sweep.space gives {key} {values!r}; expected one or more values in brackets",
        )
    for split in c.evaluate.locked:
        need(
            split in c.data.splits,
            f"evaluate.locked names {split!r}; data.splits has {', '.join(c.data.splits)}",
        )


def _check_targets(c: "Config") -> None:
    need(
        any(head.class_names for head in c.targets.values()),
        f"targets has {', '.join(c.targets) or 'no head'}; expected at least one whose labels are "
        "classes, such as direction: fusions and the audit need one",
    )
    for name, head in c.targets.items():
        check_bounds(head, f"targets.{name}")
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
        check_bounds(m, f"modalities.{name}")
        m.check(name, c)
    unknown = sorted({*c.distill.keep} - {*c.modalities})
    need(
        not unknown,
        f"distill.keep names {', '.join(unknown)}; modalities has {', '.join(c.modalities)}",
    )


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
            f"{key}.split is {split!r}; data.splits has {', '.join(c.data.splits)}; a period by "
            "its first and last day is YYYY-MM-DD:YYYY-MM-DD",
        )
    for name, span in c.data.splits.items():
        for day in span:
            need(_is_date(day), f"data.splits.{name} holds {day!r}; expected YYYY-MM-DD")
        need(
            len(span) == 2 and span[0] <= span[1],
            f"data.splits.{name} is {span}; expected (first day, last day)",
        )
    for name, (_, day) in c.distill.expert_files.items():
        need(
            _is_date(day),
            f"distill.expert_files.{name} says that its model had read until {day!r}; expected "
            "YYYY-MM-DD",
        )


def _check_training(c: "Config") -> None:
    need(
        c.train.global_batch_size % c.train.grad_accum_steps == 0,
        f"train.global_batch_size {c.train.global_batch_size} is not a multiple of "
        f"train.grad_accum_steps {c.train.grad_accum_steps}",
    )
    share, by = c.train.coreset_fraction, c.train.coreset_by
    need(
        (share < 1) == bool(by),
        f"train.coreset_fraction is {share} and train.coreset_by {by!r}; a share below 1 needs "
        "a run folder or 'random' to choose by, and a share of 1 neither",
    )
    unknown = {n for group in c.augment.numeric_groups for n in group} - {*c.channel_names}
    need(
        not unknown,
        f"augment.numeric_groups names {', '.join(sorted(unknown))}, no channel of a modality",
    )
    sessions = c.finetune.promotion_sessions
    least = max(h.horizons[0] for h in c.targets.values() if h.loss_title)
    need(
        sessions == 0 or sessions >= least,
        f"finetune.promotion_sessions is {sessions}; expected 0 or at least {least}, the horizon "
        "of the labels that the gate judges by",
    )


def _is_date(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
