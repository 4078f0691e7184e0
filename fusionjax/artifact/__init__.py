"""A forecaster in one folder, exported from a run: jax, numpy and flatbuffers run it."""

from fusionjax.artifact.loader import Artifact

__all__ = ["Artifact"]
