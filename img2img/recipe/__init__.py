"""A recipe is the whole experiment: one YAML, validated before data, weights or a device are
touched.
"""

from img2img.optimizer import OptimizerChoice
from img2img.recipe.reading import read_yaml, recipe_path
from img2img.recipe.recipe import Recipe, schema, schema_json
from img2img.recipe.train import TrainConfig

__all__ = [
    "OptimizerChoice",
    "Recipe",
    "TrainConfig",
    "read_yaml",
    "recipe_path",
    "schema",
    "schema_json",
]
