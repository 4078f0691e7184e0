"""Every test runs with checked shapes, strict dtypes and 64 virtual CPU devices."""

import dataclasses
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from jaxtyping import install_import_hook

from fusionjax.parallel import compile_cache

ROOT = Path(__file__).resolve().parents[1]
# What one interpreter compiled, bytecode with checked signatures too, no other compiles again.
sys.dont_write_bytecode = False
os.environ["PYTHONDONTWRITEBYTECODE"] = ""
# Tests build many programs that are alike: what one compiled is loaded by the others, by the
# commands that they start and by the next run of the tests. Said before anything imports JAX, as
# the hook below does.
_COMPILED = compile_cache.folder_for(ROOT / ".cache" / "jax")
_COMPILED.mkdir(parents=True, exist_ok=True)
compile_cache.prune(_COMPILED, compile_cache.LIMIT)
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_COMPILED))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# A training step of a test is compiled in a quarter of the time, and runs at a third of the speed:
# tests run it a few times.
XLA_FLAGS = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = XLA_FLAGS
# A shell's "&" has Ctrl-C ignored by all that it starts; tests ask what commands do then.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Readings of hold-outs are kept for the user too: not for the one who runs the tests.
_STATE = tempfile.TemporaryDirectory()
os.environ["XDG_STATE_HOME"] = _STATE.name
# JAX also builds pytree classes around things that are no arrays (shardings, shapes), so the two
# modules that define them are left out; every function that takes them is checked.
_MODULES = {
    ".".join(p.relative_to(ROOT).with_suffix("").parts)
    for folder in ("fusionjax", "studies", "benchmarks/measures")
    for p in (ROOT / folder).rglob("*.py")
    if p.stem != "__init__"
}
install_import_hook(
    sorted(_MODULES - {"fusionjax.types", "fusionjax.train.state", compile_cache.__name__}),
    "beartype.beartype",
)

import hypothesis  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import threadpoolctl  # noqa: E402
from ml_collections import ConfigDict  # noqa: E402

from fusionjax.config import Config, MeshConfig, resolve  # noqa: E402
from fusionjax.configs import base  # noqa: E402
from fusionjax.data.store import Market, Texts  # noqa: E402
from fusionjax.parallel.mesh import make_mesh, use_virtual_cpu_devices  # noqa: E402
from fusionjax.train.run import Trainer  # noqa: E402
from fusionjax.train.start import batch_source  # noqa: E402
from fusionjax.types import StepInputs  # noqa: E402

# There is a worker a core: OpenBLAS's threads would wait for each other by spinning. The variable
# is for what is not loaded yet, and for commands that tests start.
threadpoolctl.threadpool_limits(1, "blas")
os.environ["OPENBLAS_NUM_THREADS"] = "1"
# How long a case takes says how busy the machine is.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
use_virtual_cpu_devices(64)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# Modalities of a ``tiny_market``, one of each kind, and of the embedded S&P 500.
TINY = {
    "price": {"kind": "numeric", "sessions": 8, "patch": 4, "channels": ("ret", "vol20")},
    "text": {"kind": "text", "sessions": 3, "max_documents": 4, "author_buckets": 16},
    "chart": {
        "kind": "chart",
        "sessions": 8,
        "height": 20,
        "patch_height": 10,
        "patch_sessions": 4,
    },
}
SP500 = {
    "price": {
        "kind": "numeric",
        "sessions": 16,
        "patch": 4,
        "channels": ("ret", "gap", "range", "vol5", "vol20"),
    },
    "vix": {
        "kind": "numeric",
        "sessions": 8,
        "patch": 4,
        "channels": ("vix_level", "vix_change"),
    },
}
ACL18 = ROOT.parent / "shared" / "datasets" / "acl18"


@pytest.fixture(scope="session")
def acl18_root() -> Path:
    """The real data; a missing folder is a failure, not a skip."""
    assert ACL18.is_dir(), f"{ACL18} is missing: put the shared datasets beside the checkout"
    return ACL18


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One prepared folder for the whole session."""
    return tmp_path_factory.mktemp("prepared")


def seeing(modalities: dict[str, dict]) -> ConfigDict:
    """The base config with these modalities."""
    c = base.get_config()
    for name, spec in modalities.items():
        c.modalities[name] = ConfigDict(spec)
    return c


def small(config_dict: ConfigDict, prepared: Path, **changes: object) -> Config:
    """A config at test size: everything real but the widths."""
    return resolve(config_dict).override(
        {
            "data.prepared": str(prepared),
            "model.width": 16,
            "model.layers": 2,
            "model.heads": 2,
            "model.attention_window": 4,
            "train.steps": 6,
            "train.warmup_steps": 2,
            "train.global_batch_size": 64,
            "train.log_every": 1,
            "train.checkpoint_every": 3,
            "distill.warmup_steps": 1,
            "distill.experts": (),  # fitted in tests/experts alone: each costs seconds
            "distill.refit_fraction": 0.3,  # so few steps must leave some to learn from first
            **{k.replace("__", "."): v for k, v in changes.items()},
        }
    )


def price_trainer(
    prepared: Path, further: dict[str, dict] | None = None, **changes: object
) -> Trainer:
    """On one device, of prices alone or with further modalities: each makes a program slower to
    compile."""
    config = small(
        seeing({"price": SP500["price"]} | (further or {})),
        prepared,
        **{"model__layers": 1, "model__fusion": "equal"} | changes,
    )
    return Trainer.from_config(config, make_mesh(MeshConfig(-1, 1, 1), jax.devices()[:1]))


def feeds_of(trainer: Trainer, seed: int, start: int = 0) -> Iterator[StepInputs]:
    """What ``trainer.train(seed, ...)`` learns from, from step ``start`` on."""
    config = dataclasses.replace(trainer.config, seed=seed)
    return batch_source(config, trainer.training_data, trainer.windows).starting(start)


def tiny_market(
    days: int = 40, symbols: tuple[str, ...] = ("AA", "BB"), seed: int = 0, texts: bool = True
) -> Market:
    """A market small enough to check by hand: consecutive days, channels ret and vol20."""
    rng = np.random.default_rng(seed)
    rows = days * len(symbols)
    symbol = np.repeat(np.arange(len(symbols), dtype=np.int32), days)
    session = np.tile(np.datetime64("2020-01-01") + np.arange(days), len(symbols))
    adjusted = np.exp(np.cumsum(rng.normal(0, 0.01, (len(symbols), days)), axis=1)).ravel()
    ret = np.concatenate([[np.nan], np.diff(np.log(adjusted))])
    ret[np.flatnonzero(np.diff(symbol)) + 1] = np.nan
    ohlcv = np.stack(
        [adjusted, adjusted * 1.01, adjusted * 0.99, adjusted, np.full(rows, 1e6)], axis=1
    ).astype(np.float32)
    decision = session.astype("datetime64[s]").astype(np.int64) + 22 * 3600
    documents = None
    if texts:
        bar = np.sort(rng.integers(0, rows, 3 * rows)).astype(np.int64)
        documents = Texts(
            bar,
            decision[bar] - 7200,
            decision[bar] - 3600,
            rng.integers(0, 99, len(bar)).astype(np.int32),
            {i: f"author {i}" for i in range(99)},
            rng.normal(size=(len(bar), 8)).astype(np.float16),
            rng.normal(size=(len(bar), 3)).astype(np.float32),
            np.concatenate(  # up to six words, then padding
                [rng.integers(1000, 2000, (len(bar), 6)), np.zeros((len(bar), 2), int)], 1
            ).astype(np.uint16),
            np.tile(np.array([6, 0], np.int32), (len(bar), 1)),
            np.arange(len(bar)),
            None,
        )
    return Market(
        "0" * 64,
        symbols,
        ("ret", "vol20"),
        symbol,
        session,
        decision,
        ohlcv,
        adjusted,
        np.ones(rows, bool),
        np.stack([ret, np.full(rows, np.log(0.01))], 1).astype(np.float32),
        (np.arange(rows) // days * days).astype(np.int64),
        documents,
    )


@pytest.fixture(autouse=True)
def _in_a_clean_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read from or written to the checkout by accident."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / ".state"))
    monkeypatch.setenv("XLA_FLAGS", XLA_FLAGS)
