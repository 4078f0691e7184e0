"""Writes a market folder and its config: both new, the folder whole or not at all."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from fusionjax import files
from fusionjax.errors import InputError
from fusionjax.imports.market import Imported

_SHARES = (0.7, 0.85)  # of the sessions, where dev and test begin
_LEAST = 60  # sessions: a look-back of 32, and some for each split
_FOLDED = 280  # sessions of training that the default folds of config.selection need

_CONFIG = '''"""{title}: written by fusionjax import."""

from fusionjax.configs import base{names}


def get_config():
    c = base.get_config()
    c.name, c.data.source, c.data.root = {name}, "folder", {root}{calendar}
    c.data.splits.train = ("{train[0]}", "{train[1]}")
    c.data.splits.dev = ("{dev[0]}", "{dev[1]}")
    c.data.splits.test = ("{test[0]}", "{test[1]}"){folds}
    c.modalities.price = base.modality("numeric"{channels}){news}
    return c
'''


def require_new(out: Path) -> Path:
    """The config's path beside a folder that is to be written.

    Raises:
      InputError: one of them exists.
    """
    for path in (out, config := out.parent / f"{out.name}.py"):
        if path.exists() or path.is_symlink():
            raise InputError(f"{path}: exists, and is not overwritten; give another --out")
    return config


def config_text(market: Imported, out: Path, name: str) -> str:
    """A config that states what differs from fusionjax/configs/base.py; splits begin at a session.

    Raises:
      InputError: there are too few sessions to split.
    """
    days = pd.DatetimeIndex(market.bars["date"].unique()).sort_values()
    if len(days) < _LEAST:
        raise InputError(
            f"the bars have {len(days)} sessions; {_LEAST} at least are needed for three splits: "
            "download more"
        )
    dev, test = (int(np.ceil(share * len(days))) for share in _SHARES)
    splits = {
        split: (f"{days[first]:%Y-%m-%d}", f"{days[last - 1]:%Y-%m-%d}")
        for split, first, last in (
            ("train", 0, dev),
            ("dev", dev, test),
            ("test", test, len(days)),
        )
    }
    own, code = market.channels, market.calendar.code
    span = f"{days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}"
    return _CONFIG.format(
        title=f"{market.bars['symbol'].nunique()} symbol(s), {span}",
        names="\nfrom fusionjax.data.names import PRICE_CHANNELS" if own else "",
        name=_quoted(name),
        root=_quoted(str(out)),
        calendar="" if code == "XNYS" else f"\n    c.data.calendar = {_quoted(code)}",
        folds=f"\n    c.selection.fold_sessions = {dev // 8}" if dev < _FOLDED else "",
        channels=f", channels=(*PRICE_CHANNELS, {', '.join(map(_quoted, own))})" if own else "",
        news=""
        if market.texts is None
        else '\n    c.modalities.news = base.modality("text", sessions=5)',
        **splits,
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # beyond 16 bits escapes are not Python's


def write(market: Imported, out: Path, name: str) -> Path:
    """Writes bars, texts and the config; returns the config's path.

    Args:
      market: what was imported.
      out: the market folder.
      name: of runs, in the config.

    Raises:
      InputError: one exists, cannot be written, or has too few sessions.
    """
    config, text = require_new(out), config_text(market, out, name)
    try:
        with _aside(out) as aside:
            market.bars.to_parquet(aside / "bars.parquet", index=False)
            if market.texts is not None:
                market.texts.to_parquet(aside / "texts.parquet", index=False)
        files.write_text(config, text)
    except OSError as e:
        raise InputError(f"{out}: cannot be written ({e.strerror or e}); make room there") from e
    return config


@contextlib.contextmanager
def _aside(out: Path) -> Iterator[Path]:
    """A folder of another name that becomes ``out``, which must not exist; nothing on an error."""
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        yield aside
        aside.chmod(0o755)
        aside.rename(out)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
