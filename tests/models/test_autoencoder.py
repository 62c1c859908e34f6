"""The autoencoder: its bottleneck is one, the decoder works alone, use is deterministic and
training is not.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from img2img.errors import UserError
from img2img.models.autoencoder import Autoencoder, AutoencoderConfig
from img2img.models.base import DiscriminatorShapes
from img2img.models.dcgan import DcganDiscriminatorConfig, DcganGenerator
from img2img.models.mlp import MlpDiscriminatorConfig
from img2img.recipe import Recipe
from img2img.tasks import build_task


def built(variational: bool = False, **task: Any) -> Autoencoder:
    known = build_task({"kind": "reconstruct", "size_px": 28, "latent": 6, **task})
    network = AutoencoderConfig(width=4, variational=variational).build(known)
    assert isinstance(network, Autoencoder)
    return network


@pytest.mark.parametrize("variational", [False, True])
@pytest.mark.parametrize(("size_px", "channels", "labels"), [(28, 1, 0), (32, 3, 0), (48, 1, 10)])
def test_pictures_become_codes_and_pictures_again(
    size_px: int, channels: int, labels: int, variational: bool
) -> None:
    network = built(variational, size_px=size_px, channels=channels, labels=labels).eval()
    x = torch.rand(3, channels + labels, size_px, size_px)
    picture, code = network(x, coded=True)
    assert picture.shape == (3, channels, size_px, size_px)
    assert code.drawn.shape == code.mean.shape == (3, 6)
    assert (code.log_variance is not None) == variational
    assert isinstance(network.decoder, DcganGenerator)
    alone = network.decoder(torch.cat([code.drawn, network.label(x)], 1)[:, :, None, None])
    assert torch.allclose(alone, picture)


def test_use_takes_the_mean_and_training_draws() -> None:
    network, x = built(variational=True).eval(), torch.rand(2, 3, 28, 28)
    assert torch.equal(network(x), network(x))
    assert not torch.equal(network(x, coded=True)[0], network(x, coded=True)[0])


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("denoise", "does not ask for one"),
        ({"kind": "reconstruct", "size_px": 50}, "size 50 is not 4, 5, 6 or 7"),
    ],
)
def test_what_it_cannot_serve_is_refused(task: Any, reason: str) -> None:
    fields = {"name": "x", "task": task, "generator": {"kind": "autoencoder"}}
    with pytest.raises(UserError, match=reason):
        Recipe.parse(fields)


@pytest.mark.parametrize(
    "config", [DcganDiscriminatorConfig(width=4), MlpDiscriminatorConfig(hidden=(8,))]
)
def test_features_are_what_the_score_is_made_of(config: Any) -> None:
    network, x = (
        config.build(DiscriminatorShapes(channels=3, size_px=16)).eval(),
        torch.rand(2, 3, 16, 16),
    )
    features = network.features(x)
    assert features.shape[0] == 2
    assert torch.equal(network.head(features.flatten(1), None), network(x))
