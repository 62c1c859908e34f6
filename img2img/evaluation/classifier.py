"""A small classifier of real pictures: it recognises generated ones, and sets are compared in its
features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.devices import precision_for
from img2img.models.blocks import channels_last
from img2img.pixels.tensors import as_float

BATCH = 128
FEATURES = 128


class Classifier(nn.Sequential):
    """Pictures (B,C,H,W) in [0,1], at least 16 px a side, to class scores (B,K)."""

    def __init__(self, channels: int, classes: int) -> None:
        body = nn.Sequential(
            *(nn.Conv2d(channels, 32, 4, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Conv2d(32, 64, 4, stride=2, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
            *(
                nn.Conv2d(64, 128, 3, padding=1),
                nn.BatchNorm2d(128),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(3),
            ),
            *(nn.Flatten(), nn.Linear(128 * 9, FEATURES), nn.ReLU()),
        )
        super().__init__(body, nn.Linear(FEATURES, classes))


@dataclass(frozen=True)
class Seen:
    """The classifier's output for pictures: class probabilities (N,K) and features (N,128)."""

    probabilities: Tensor
    features: Tensor


def train_classifier(
    pictures: Tensor, labels: Tensor, classes: int, epochs: int = 3, seed: int = 0
) -> Classifier:
    """A classifier of pictures (N,C,H,W) uint8; the same from the same data on one machine."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = channels_last(Classifier(pictures.shape[1], classes))
        orders = torch.cat([torch.randperm(len(pictures)) for _ in range(epochs)])
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    steps = -(-len(orders) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps + 1)
    dtype = precision_for(torch.device("cpu"), "auto")
    for chosen in orders.split(BATCH):
        batch = as_float(pictures[chosen]).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            scores = network(batch)
        optimizer.zero_grad()
        F.cross_entropy(scores.float(), labels[chosen]).backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.inference_mode()
def seen_by(network: Classifier, pictures: Tensor) -> Seen:
    """Pictures (N,C,H,W), uint8 or floats in [0,1], as the classifier sees them."""
    batches = (
        as_float(x).contiguous(memory_format=torch.channels_last) for x in pictures.split(500)
    )
    body, last = network
    features = torch.cat([body(batch) for batch in batches])
    return Seen(last(features).softmax(1), features)
