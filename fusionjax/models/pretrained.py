"""A BERT-family text encoder in Flax (Devlin et al., 2019) that runs Hugging Face weights.

Sentence embeddings follow all-MiniLM-L6-v2: the mean of the real tokens' states, at unit length
(Reimers & Gurevych, 2019).
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """Sizes as a Hugging Face ``config.json`` names them."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    layer_norm_eps: float


MINILM = BertConfig(
    vocab_size=30_522,
    hidden_size=384,
    num_hidden_layers=6,
    num_attention_heads=12,
    intermediate_size=1536,
    max_position_embeddings=512,
    layer_norm_eps=1e-12,
)


class _Layer(nn.Module):
    config: BertConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B N D"], mask: Bool[Array, "B N"]) -> Float[Array, "B N D"]:
        c = self.config
        dense = partial(nn.Dense, dtype=self.dtype)
        norm = partial(nn.LayerNorm, c.layer_norm_eps, dtype=self.dtype)

        def split(name: str) -> Array:
            y = dense(c.hidden_size, name=name)(x)
            return rearrange(y, "b n (h d) -> b n h d", h=c.num_attention_heads)

        y = jax.nn.dot_product_attention(
            split("query"), split("key"), split("value"), mask=mask[:, None, None, :]
        )
        y = dense(c.hidden_size, name="attention_output")(rearrange(y, "b n h d -> b n (h d)"))
        x = norm(name="attention_norm")(x + y)
        y = dense(c.intermediate_size, name="intermediate")(x)
        y = dense(c.hidden_size, name="output")(nn.gelu(y, approximate=False))
        return norm(name="output_norm")(x + y)


class SentenceEncoder(nn.Module):
    """Token ids to one unit vector a text; layers are rematerialised in the backward pass."""

    config: BertConfig
    dtype: Any = jnp.float32  # of activations; parameters and the result are float32

    @nn.compact
    def __call__(self, ids: Int[Array, "B N"], mask: Bool[Array, "B N"]) -> Float[Array, "B D"]:
        c = self.config
        embed = partial(nn.Embed, features=c.hidden_size, dtype=self.dtype)
        x = embed(c.vocab_size, name="word")(ids)
        x += embed(c.max_position_embeddings, name="position")(jnp.arange(ids.shape[1]))[None]
        x += embed(2, name="token_type")(jnp.zeros_like(ids))
        x = nn.LayerNorm(c.layer_norm_eps, dtype=self.dtype, name="norm")(x)
        for i in range(c.num_hidden_layers):
            x = nn.remat(_Layer)(c, self.dtype, name=f"layer_{i}")(x, mask)
        x, real = x.astype(jnp.float32), mask[..., None].astype(jnp.float32)
        pooled = jnp.sum(x * real, 1) / jnp.maximum(real.sum(1), 1)
        return pooled / jnp.maximum(jnp.linalg.norm(pooled, axis=-1, keepdims=True), 1e-12)


def from_hugging_face(weights: Mapping[str, np.ndarray], config: BertConfig) -> dict:
    """Renames a Hugging Face BERT state dict to this module's parameters.

    Raises:
      KeyError: the weights lack a tensor that ``config`` needs.
    """

    def dense(name: str) -> dict:
        return {"kernel": weights[f"{name}.weight"].T, "bias": weights[f"{name}.bias"]}

    def norm(name: str) -> dict:
        return {"scale": weights[f"{name}.weight"], "bias": weights[f"{name}.bias"]}

    def layer(i: int) -> dict:
        prefix = f"encoder.layer.{i}"
        return {
            **{n: dense(f"{prefix}.attention.self.{n}") for n in ("query", "key", "value")},
            "attention_output": dense(f"{prefix}.attention.output.dense"),
            "attention_norm": norm(f"{prefix}.attention.output.LayerNorm"),
            "intermediate": dense(f"{prefix}.intermediate.dense"),
            "output": dense(f"{prefix}.output.dense"),
            "output_norm": norm(f"{prefix}.output.LayerNorm"),
        }

    embeddings = {
        name: {"embedding": weights[f"embeddings.{name}_embeddings.weight"]}
        for name in ("word", "position", "token_type")
    }
    layers = {f"layer_{i}": layer(i) for i in range(config.num_hidden_layers)}
    return {"params": {**embeddings, "norm": norm("embeddings.LayerNorm"), **layers}}
