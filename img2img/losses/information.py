"""InfoGAN's lower bound on the mutual information of codes and pictures (Chen et al. 2016, equation
5).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def code_loss(recognised: Tensor, code: Tensor, sizes: tuple[int, int]) -> Tensor:
    """Cross-entropy of the categorical code plus ½(c - ĉ)² of the continuous ones (a Gaussian of
    unit variance).

    `recognised` and `code` are (B, categorical + continuous): logits and one-hot first, then means
    and values.
    """
    categorical, _ = sizes
    loss = 0.5 * (recognised[:, categorical:] - code[:, categorical:]).square().sum(1).mean()
    if categorical:
        loss = loss + F.cross_entropy(recognised[:, :categorical], code[:, :categorical].argmax(1))
    return loss
