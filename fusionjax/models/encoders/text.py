"""Texts: a token a document."""

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import linen as nn
from jaxtyping import Array, Float

from fusionjax.config import ModelConfig
from fusionjax.models.layers import Stack, dense
from fusionjax.models.pretrained import MINILM, SentenceEncoder
from fusionjax.parallel.rules import constrain_batch, constrain_whole
from fusionjax.types import Documents, Tokens


class TextEncoder(nn.Module):
    """One token a document: its embedding, lexicon scores, age and author."""

    author_buckets: int
    config: ModelConfig
    deterministic: bool

    @nn.compact
    def __call__(self, documents: Documents, before: Tokens | None = None) -> Tokens:
        c = self.config
        authors = nn.Embed(
            self.author_buckets,
            c.width,
            name="author",
            dtype=jnp.dtype(c.compute_dtype),
            param_dtype=jnp.float32,
        )
        # Gathers the small embedding table; a lookup in the split table would exchange rows.
        table = constrain_whole(authors.embedding.astype(jnp.dtype(c.compute_dtype)))
        author = jnp.take(table, documents.author, axis=0)
        vectors = documents.embedding.astype(jnp.float32)
        if documents.tokens is not None:
            rows = rearrange(documents.tokens, "b k l -> (b k) l").astype(jnp.int32)
            # The first token counts as real even if empty: the gradient of an empty mean is NaN.
            real = (rows != 0).at[:, 0].set(True)
            bert = SentenceEncoder(MINILM, jnp.dtype(c.compute_dtype), name="bert")
            vectors = rearrange(bert(rows, real), "(b k) d -> b k d", b=vectors.shape[0])
        embedding = vectors * np.float32(np.sqrt(vectors.shape[-1]))  # unit norm to unit variance
        scalars = jnp.concatenate([documents.lexicon, _age_features(documents.age)], axis=-1)
        x = (
            dense(c, c.width, "embed")(embedding)
            + dense(c, c.width, "embed_scalars")(scalars)
            + constrain_batch(author)
        )
        return Stack(c, self.deterministic, name="stack")(x, documents.mask, before)


def _age_features(hours: Float[Array, "B K"]) -> Float[Array, "B K 5"]:
    """Age on a log scale and as the phase of day and week."""
    day, week = 2 * np.pi * hours / 24, 2 * np.pi * hours / 168
    return jnp.stack(
        [jnp.log1p(jax.nn.relu(hours)), jnp.sin(day), jnp.cos(day), jnp.sin(week), jnp.cos(week)],
        axis=-1,
    )
