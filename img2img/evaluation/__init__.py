"""Measuring: published protocols, baselines on the same pixels, one report; by `evaluate`."""

from img2img.evaluation.report import Report
from img2img.evaluation.run import evaluate

__all__ = ["Report", "evaluate"]
