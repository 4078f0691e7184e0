"""fusionjax: a multimodal stock forecaster that learns which data deserve weight."""

__version__ = "0.1.0"
