"""Which configs the items measure, at full width on a GPU and at toy widths in a rehearsal."""

from collections.abc import Sequence
from typing import Any

from fusionjax.config import Config, resolve
from fusionjax.configs import demo, h100_1, h100_64
from gpu_items.bench import Bench

# The planted market of ``make gpu-kit``.
SESSIONS = 800
_SPLITS: dict[str, Any] = {
    "data.splits.train": ("1990-01-03", "1992-06-30"),
    "data.splits.dev": ("1992-07-01", "1993-02-26"),
}
# Of a rehearsal, beside what a config's ``toy`` says.
_TOY: dict[str, Any] = {
    "train.global_batch_size": 16,
    "model.layers": 1,
    "train.grad_accum_steps": 2,
}


def large(bench: Bench, **changes: Any) -> Config:
    """configs/h100_1.py on the planted market; changes with __ for dots."""
    return _made(resolve(h100_1.get_config()), bench, changes)


def shard(bench: Bench, **changes: Any) -> Config:
    """What one device of configs/h100_64.py holds of a batch, at full width, on a mesh of one."""
    config = resolve(h100_64.get_config())
    devices = config.mesh.data * config.mesh.fsdp
    alone = {
        "mesh.data": 1,
        "mesh.fsdp": 1,
        "train.global_batch_size": config.train.global_batch_size // devices,
    }
    return _made(config.override(alone), bench, changes)


def small(bench: Bench, **changes: Any) -> Config:
    """configs/demo.py, whose data come with a package."""
    config = resolve(demo.get_config()).override({"mesh.data": 1})
    toy = {"model.width": 16, "model.layers": 1, "model.heads": 2, "train.global_batch_size": 32}
    return _changed(config.override(toy) if bench.rehearse else config, changes)


def _made(config: Config, bench: Bench, changes: dict[str, Any]) -> Config:
    return _changed(config.override(market(bench, config)), changes)


def _changed(config: Config, changes: dict[str, Any]) -> Config:
    return config.override({k.replace("__", "."): v for k, v in changes.items()})


def market(bench: Bench, config: Config) -> dict[str, Any]:
    """What a config of the H100s changes to read the planted market, in a rehearsal at toy
    widths."""
    toy = dict(config.toy) | _TOY if bench.rehearse else {}
    return {
        **toy,
        "data.root": str(bench.kit / "market"),
        "data.prepared": str(bench.kit / "prepared"),
        "evaluate.market_channel": "ret",  # a planted market has no index beside it
        **_SPLITS,
    }


def as_flags(changes: dict[str, Any]) -> Sequence[str]:
    """The same for a command."""
    return [
        f"--config.{key}={value!r}" if isinstance(value, tuple) else f"--config.{key}={value}"
        for key, value in changes.items()
    ]
