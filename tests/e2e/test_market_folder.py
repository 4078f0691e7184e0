"""Five modalities from real files to a trained run: prices, posts, PNG, WAV and MP4."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from commands import SMALL, launch
from conftest import feeds_of

from fusionjax.config import Config, resolve
from fusionjax.configs import planted_folder as planted_config
from fusionjax.evaluate.inference import predict
from fusionjax.parallel.mesh import make_mesh
from fusionjax.train.run import Trainer
from studies.data import planted, planted_folder


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    root = tmp_path_factory.mktemp("planted")
    market = planted.plant(planted.REGIMES["full"], 0)
    planted_folder.write(market, root / "market", np.arange(160))
    return resolve(planted_config.get_config()).override(
        {
            "data.root": str(root / "market"),
            "data.prepared": str(root / "prepared"),
            "data.splits": dict.fromkeys(("train", "dev", "test"), ("1990-01-03", "1990-07-31")),
            "model.width": 16,
            "model.heads": 2,
            "train.steps": 12,
            "train.warmup_steps": 2,
            "train.global_batch_size": 32,
            "train.log_every": 1,
            "distill.warmup_steps": 2,
            "distill.initial_update_steps": 2,
            "distill.refit_fraction": 0.5,
        }
    )


@pytest.mark.slow
def test_five_modalities_from_files_to_forecasts(config: Config, tmp_path: Path) -> None:
    trainer = Trainer.from_config(config, make_mesh(config.mesh, jax.devices()[:1]))
    assert trainer.market.media.keys() == {"image", "audio", "video"}
    step_inputs = next(feeds_of(trainer, 0))
    assert set(step_inputs.batch.inputs) == {"numeric", "text", "image", "audio", "video"}
    assert 0.4 < step_inputs.batch.present["text"].mean() < 1, "three in ten posts are missing"
    assert step_inputs.batch.present["video"].all()
    state = trainer.train(0, tmp_path / "seed_0")
    assert int(state.step) == 12
    assert (tmp_path / "seed_0" / "fusion.json").exists()
    rows = trainer.training_data.all.row[:40]
    said = predict(trainer.program, state.ema_params, trainer.windows, rows, 32)
    assert np.isfinite(said.value["direction"]).all()
    without = predict(
        trainer.program, state.ema_params, trainer.windows, rows, 32, frozenset({"image"})
    )
    assert not without.modality_weight[:, 2].any()


@pytest.mark.slow
def test_a_pixel_and_a_sample_of_sound_reach_the_forecast(config: Config) -> None:
    """And those of absent items do not."""
    trainer = Trainer.from_config(config, make_mesh(config.mesh, jax.devices()[:1]))
    batch = next(feeds_of(trainer, 0)).batch
    params = trainer.program.init(0).params
    readout = params["fusion"]["readout"]
    readout["kernel"] = jax.random.normal(jax.random.key(0), readout["kernel"].shape)
    params["gain_direction"] = np.ones_like(params["gain_direction"])  # it corrects the experts

    def logits(inputs: dict) -> np.ndarray:
        said = trainer.program.predict(params, batch.replace(inputs=inputs))
        return np.asarray(said.outcome["direction"])

    before, here = logits(batch.inputs), batch.present["audio"]
    sound = batch.inputs["audio"]
    louder = sound.replace(samples=np.where(here[:, None], sound.samples // 2, sound.samples))
    after = logits(batch.inputs | {"audio": louder})
    assert (np.abs(after - before).max((1, 2))[here] > 1e-6).all()
    noise = np.random.default_rng(0).integers(-99, 99, sound.samples.shape).astype(np.int16)
    absent = sound.replace(samples=np.where(here[:, None], sound.samples, noise))
    np.testing.assert_array_equal(logits(batch.inputs | {"audio": absent}), before)
    for name in ("image", "video"):
        shown = batch.inputs[name]
        inverted = shown.replace(pixels=255 - shown.pixels)
        after = logits(batch.inputs | {name: inverted})
        assert (np.abs(after - before).max((1, 2)) > 1e-6).all(), name


@pytest.mark.slow
def test_the_audit_speaks_before_training_and_refuses_what_is_not_fit(
    config: Config, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(config.data.root, tmp_path / "market"))
    flags = (f"--source={root}", f"--config.data.prepared={tmp_path / 'prepared'}", "--audit")
    said = launch(tmp_path, "prepare", "planted_folder", *flags)
    assert "fit to train on" in said
    (page,) = (tmp_path / "prepared").glob("folder-*/audit.html")
    assert "video coverage" in page.read_text()
    bars = pd.read_parquet(root / "bars.parquet")
    twin = pd.concat([bars, bars.assign(symbol="TWIN")])  # one security under two names
    twin.to_parquet(root / "bars.parquet")
    said = launch(tmp_path, "prepare", "planted_folder", *flags, status=3)
    assert "not fit to train on: copied bars" in said
    train = (f"--config.data.root={root}", *flags[1:2], *SMALL, "--config.train.steps=1")
    said = launch(tmp_path, "train", "planted_folder", *train, status=2)
    assert "copied bars: 1 pairs of symbols share 20 or more equal bars: PLANT and TWIN" in said
    assert "--config.data.accepted_findings=\"('copied bars',)\"" in said
    assert not (tmp_path / "runs").exists()
