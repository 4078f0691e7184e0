"""Two real earnings calls from MP3 and text to a forecast; a real misalignment is found."""

import json
import shutil
from pathlib import Path

import arch.data.sp500
import jax
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, seeing, small
from rich.progress import Progress

from fusionjax.config import Config
from fusionjax.data import media, prepare
from fusionjax.data.audit import audit
from fusionjax.evaluate.inference import predict
from fusionjax.parallel.mesh import make_mesh
from fusionjax.train.run import Trainer

DATASETS = ROOT.parent / "shared" / "datasets"
# When each call was held, in New York: 3M before the open, Amazon after the close.
HELD = {"3M_Company_20170425": "09:00", "Amazon.com_Inc._20170202": "17:30"}
MODALITIES = {
    "price": {"kind": "numeric", "sessions": 8, "patch": 4, "channels": ("ret", "vol20")},
    "text": {"kind": "text", "sessions": 20, "max_documents": 32, "author_buckets": 4},
    "audio": {
        "kind": "audio",
        "sessions": 20,
        "hertz": 11_025,
        "window": 512,
        "hop": 256,
        "mels": 32,
        "patch": 8,
    },
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A market folder: the S&P 500, and what was said in two calls of its members."""
    assert (DATASETS / "ec_audio").is_dir(), "put the shared datasets beside the checkout"
    root = tmp_path_factory.mktemp("calls")
    index = arch.data.sp500.load().loc["2016":"2017"]
    bars = index.rename(columns=lambda c: c.lower().replace(" ", "_"))
    bars.assign(symbol="SPX", date=index.index, volume=index["Volume"].astype(float)).to_parquet(
        root / "bars.parquet", index=False
    )
    lines, clips = [], []
    for call, clock in HELD.items():
        stamp = pd.Timestamp(f"{call[-8:]} {clock}", tz="America/New_York").isoformat()
        item = {"symbol": "SPX", "event_time": stamp, "available_time": stamp, "event": call}
        text = (DATASETS / "ec_audio" / call / "Text.txt").read_text().splitlines()
        lines += [{**item, "author": call, "text": line} for line in text]
        found = sorted((DATASETS / "ec_audio" / call / "Audio").glob("*.mp3"))
        clips += [{**item, "source": call, "path": f"{call}/Audio/{p.name}"} for p in found]
    pd.DataFrame(lines).to_parquet(root / "texts.parquet")
    shutil.copytree(DATASETS / "ec_audio", root / "audio")
    (root / "audio" / "manifest.jsonl").write_text("\n".join(map(json.dumps, clips)))
    return root


@pytest.fixture(scope="module")
def config(root: Path) -> Config:
    c = seeing(MODALITIES)
    c.data.audio_sample_rate, c.data.audio_seconds = 11_025, 4.0
    c.data.splits.train = ("2016-03-01", "2017-06-30")
    c.data.splits.dev = ("2017-07-03", "2017-12-29")
    return small(
        c, root / "prepared", data__source="folder", data__root=str(root), model__fusion="equal"
    )


@pytest.mark.shared_data
@pytest.mark.slow
def test_a_call_is_heard_from_the_first_decision_after_it(config: Config, tmp_path: Path) -> None:
    trainer = Trainer.from_config(config, make_mesh(config.mesh, jax.devices()[:1]))
    sound, market = trainer.market.media["audio"], trainer.market
    days = market.session[sound.bar]
    assert dict(zip(*np.unique(days.astype(str), return_counts=True), strict=True)) == {
        "2017-02-03": 59,  # Amazon's began after the close of the 2nd
        "2017-04-25": 179,
    }
    assert (sound.length > 0).all(), "every MP3 was decoded"
    rms = np.sqrt((sound.read(np.arange(8)).astype(float) ** 2).mean(1))
    assert (rms > 50).all(), "speech, not silence"
    state = trainer.train(0, tmp_path / "seed_0")
    row = np.flatnonzero(market.session == np.datetime64("2017-04-25"))
    said, deaf = (
        predict(trainer.program, state.ema_params, trainer.windows, row, 8, hidden)
        for hidden in (frozenset(), frozenset({"audio"}))
    )
    assert np.isfinite(said.value["direction"]).all()
    assert (said.value["direction"] != deaf.value["direction"]).any()


@pytest.mark.slow
@pytest.mark.shared_data
def test_the_call_with_more_clips_than_lines_is_reported(config: Config) -> None:
    prepare.prepare(config.data, Progress(disable=True))
    trainer = Trainer.from_config(config, make_mesh(config.mesh, jax.devices()[:1]))
    (pairs,) = [f for f in audit(trainer.market, config).findings if f.code == "pairs"]
    assert pairs.level == "watch"
    assert pairs.what == (
        "1 events have more items in one table than in another: event Amazon.com_Inc._20170202: "
        "57 in texts.parquet, 59 in audio/manifest.jsonl"
    )


@pytest.mark.shared_data
def test_real_feature_frames_have_dirt(tmp_path: Path) -> None:
    calls = pd.read_parquet(DATASETS / "maec" / "text_audio_2015_2016.parquet")
    features = calls.drop(columns=["call", "sent", "text"])
    assert features.shape[1] == 29
    dirty = features.apply(pd.to_numeric, errors="coerce").isna()
    assert 0.004 < dirty.to_numpy().mean() < 0.008
    call = calls.loc[dirty.any(axis=1), "call"].iloc[0]
    features[calls["call"] == call].to_parquet(tmp_path / "call.parquet", index=False)
    c = small(seeing({"voice": {"kind": "frames", "sessions": 1, "patch": 8}}), tmp_path).data
    x, length = media.decoder("frames", c)(tmp_path / "call.parquet")
    assert (x.shape, x.dtype) == ((256, 29), np.float32)
    own = dirty[calls["call"] == call].to_numpy()[:256]
    np.testing.assert_array_equal(np.isnan(x[:length]), own[:length])
