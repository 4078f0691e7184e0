"""Our encoder of series and the equal-weight fusion in PyTorch, as its own users would write them.

The same arithmetic as fusionjax/models (encoders/numeric.py, layers.py, fusion.py), for inputs
that are all there: it knows no masks. Needs torch alone.
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclasses.dataclass(frozen=True)
class Shape:
    """As config.model has them."""

    width: int
    heads: int
    mlp_ratio: int
    layers: int
    attention_window: int


class RMSNorm(nn.Module):
    """Statistics in float32, as ours."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        y = x.float()
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-6)
        return (y * self.scale).to(x.dtype)


def near(tokens: int, window: int, device: torch.device) -> Tensor:
    """[N, N]: which tokens see each other."""
    at = torch.arange(tokens, device=device)
    return (at[:, None] - at[None]).abs() < window


class Attention:
    """Softmax attention over tokens less than ``window`` apart: on CUDA by FlexAttention, a flash
    kernel that skips the blocks which the mask hides; elsewhere, or if asked, dense with a mask."""

    def __init__(self, tokens: int, window: int, device: torch.device, dense: bool) -> None:
        self._flex = None
        if device.type == "cuda" and not dense:
            from torch.nn.attention import flex_attention as flex

            def in_window(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
                return (q - k).abs() < window

            self._flex = flex.flex_attention
            self._mask = flex.create_block_mask(
                in_window, None, None, tokens, tokens, device="cuda"
            )
        else:
            self._mask = near(tokens, window, device)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self._flex is not None:
            return self._flex(q, k, v, block_mask=self._mask)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=self._mask)


class Layer(nn.Module):
    """Pre-norm attention and feed-forward block."""

    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.mlp_norm = RMSNorm(width), RMSNorm(width)
        self.query, self.key, self.value, self.attention_out = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        self.mlp_in, self.mlp_out = nn.Linear(width, ratio * width), nn.Linear(ratio * width, width)

    def forward(self, x: Tensor, attention: Attention) -> Tensor:
        y = self.attention_norm(x)
        q, k, v = (
            part(y).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        x = x + self.attention_out(attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x)), approximate="tanh"))


class Encoder(nn.Module):
    """A token a session, normalised by instance, and one of what was normalised away."""

    def __init__(self, sessions: int, channels: int, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.embed = nn.Linear(channels + 1, width)
        self.embed_statistics = nn.Linear(2 * channels, width)
        self.positions = nn.Parameter(0.02 * torch.randn(sessions, width))
        self.layers = nn.ModuleList(
            Layer(width, shape.heads, shape.mlp_ratio) for _ in range(shape.layers)
        )
        self.norm = RMSNorm(width)

    def forward(self, x: Tensor, attention: Attention) -> Tensor:
        mean = x.mean(1, keepdim=True)
        std = ((x - mean).square().mean(1, keepdim=True) + 1e-5).sqrt()
        normalised = torch.cat([(x - mean) / std, torch.ones_like(x[..., :1])], -1)
        level = self.embed_statistics(torch.cat([mean, std.log()], -1))
        y = torch.cat([level, self.embed(normalised) + self.positions], 1)
        for layer in self.layers:
            y = layer(y, attention)
        return self.norm(y)


class Forecaster(nn.Module):
    """Several series to the outputs of all heads.

    Args:
      sessions: of each series.
      channels: of each.
      shape: of encoders and fusion.
      outputs: of all heads together.
    """

    def __init__(
        self,
        sessions: list[int],
        channels: int,
        shape: Shape,
        outputs: int,
    ) -> None:
        super().__init__()
        width, ratio = shape.width, shape.mlp_ratio
        self.window = shape.attention_window
        self.encoders = nn.ModuleList(Encoder(n, channels, shape) for n in sessions)
        self.fusion_norm, self.readout_norm = RMSNorm(width), RMSNorm(width)
        self.mlp_in = nn.Linear(width, ratio * width, bias=False)
        self.mlp_out = nn.Linear(ratio * width, width, bias=False)
        self.readout = nn.Linear(width, outputs)

    def attentions(self, device: torch.device, *, dense: bool = False) -> list[Attention]:
        """Of each encoder; made once, outside of what is compiled."""
        tokens = [len(e.positions) + 1 for e in self.encoders]
        return [Attention(n, self.window, device, dense) for n in tokens]

    def forward(self, series: list[Tensor], attentions: list[Attention]) -> Tensor:
        pooled = [
            e(x, a).float().mean(1)
            for e, x, a in zip(self.encoders, series, attentions, strict=True)
        ]
        h = self.fusion_norm(torch.stack(pooled, 1)).mean(1)
        h = h + self.mlp_out(F.gelu(self.mlp_in(h), approximate="tanh"))
        return self.readout(self.readout_norm(h.float()))


def copy_parameters(model: Forecaster, ours: dict[str, Tensor]) -> None:
    """Gives the model our parameters, by their paths in the JAX tree.

    Raises:
      KeyError: one has no counterpart.
    """
    unused = set(ours)

    def take(name: str, at: int | None = None) -> Tensor:
        unused.discard(name)
        x = ours[name] if at is None else ours[name][at]
        return x.T if name.endswith("kernel") else x

    own = {"scale": "scale", "weight": "kernel", "bias": "bias"}
    names = sorted({name.split("/")[0] for name in ours if name.startswith("encoders_")})
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            parts = path.split(".")
            if parts[0] != "encoders":
                place = f"fusion/{parts[0].replace('fusion_norm', 'norm')}/{own[parts[1]]}"
                parameter.copy_(take(place))
                continue
            place, rest = names[int(parts[1])], parts[2:]
            if rest == ["positions"]:
                parameter.copy_(take(f"{place}/positions"))
            elif rest[0] == "layers":
                name = f"{place}/stack/layers/{rest[2]}/{own[rest[3]]}"
                parameter.copy_(take(name, int(rest[1])))
            else:
                inside = "stack/" if rest[0] == "norm" else ""
                parameter.copy_(take(f"{place}/{inside}{rest[0]}/{own[rest[1]]}"))
    left = unused - {"typical_log_scale"}  # of series without prices; the heads' scale, not here
    if left:
        raise KeyError(f"no counterpart for {', '.join(sorted(left))}")
