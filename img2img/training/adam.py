"""Adam for channels-last weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam


class DenseAdam(Adam):
    """Adam, bit for bit, whose fused CPU kernel is given channels-last weights, their gradients and
    moments as contiguous views: of anything else it makes copies, which take as long as its work.
    """

    def _init_group(self, group: dict[str, Any], *lists: list[Tensor]) -> Any:
        """Fill the lists that a step works on, each with one tensor a weight, weights first."""
        found = super()._init_group(group, *lists)
        turned = [
            p.dim() == 4 and p.is_contiguous(memory_format=torch.channels_last) for p in lists[0]
        ]
        for tensors in lists:
            tensors[:] = [
                x.permute(0, 2, 3, 1) if turn and x.dim() == 4 else x
                for x, turn in zip(tensors, turned, strict=False)  # some lists may be empty
            ]
        return found
