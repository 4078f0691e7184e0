"""A market whose texts tell, and a parent trained on it: for tests of what goes on from a run."""

from pathlib import Path

import jax
import numpy as np
from conftest import TINY, seeing, small

from fusionjax.config import Config, MeshConfig
from fusionjax.data import samples
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.distill import weights
from fusionjax.experts import stacked
from fusionjax.parallel.mesh import make_mesh
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.job import Output, Run
from fusionjax.train.loop import fit
from fusionjax.train.run import make_program
from fusionjax.train.run_info import RunInfo

MESH = make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1])
TRAIN, LIVE = ("2020-01-01", "2020-07-31"), ("2020-08-02", "2020-10-26")


def config(**changes: object) -> Config:
    return small(
        seeing({k: TINY[k] for k in ("price", "text")}),
        Path(),
        **{
            "data__splits": {"train": TRAIN, "live": LIVE, "dev": LIVE},
            "evaluate__market_channel": "ret",
            "model__fusion": "equal",
            "model__width": 8,
            "model__layers": 1,
            "model__dropout": 0.0,
            "train__steps": 60,
            "train__checkpoint_every": 60,
            "train__learning_rate": 1e-2,
            "targets__volatility__horizons": (5,),
            "finetune__split": "live",
            "finetune__steps": 8,
            "finetune__warmup_steps": 0,
            "finetune__learning_rate": 5e-3,
            "finetune__promotion_sessions": 63,
            **changes,
        },
    )


def telling(market: Market, change: str = "2100-01-01") -> Market:
    """Texts tell how tomorrow goes; from the change on they tell the opposite."""
    assert market.texts is not None
    tomorrow = np.nan_to_num(np.roll(market.channels[:, 0], -1))
    sign = np.where(market.session < np.datetime64(change), 1.0, -1.0)
    market.texts.lexicon[:] = (np.sign(tomorrow) * sign)[market.texts.bar][:, None]
    return market


def trained(market: Market, c: Config, folder: Path) -> Path:
    first, last = samples.period(c.data, "train")
    learned = samples.training_data(market, c, first, last, weights.meta_fraction(c))
    windows = stacked.started(Windows(market, c, Scaler.fit(market, last)), learned, last)
    program = make_program(c, MESH, windows, learned.meta_sessions)
    info = RunInfo(c, market.fingerprint, windows.scaler, *TRAIN, parent=None)
    with Checkpoints(folder / "seed_0", create=True) as checkpoints:
        stacked.kept(windows, folder / "seed_0")
        fit(Run(c, windows, program), learned, Output(checkpoints, info))
    return folder
