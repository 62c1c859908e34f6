"""ST-LPIPS against values of the package's own class, recorded with stlpips_pytorch 0.0.2, variant
"shift_tolerant".
"""

import math

import pytest
import torch

from img2img.errors import UserError
from img2img.losses import perceptual
from img2img.losses.perceptual import NETWORKS, missing, perceptual_distance

needs_weights = pytest.mark.skipif(
    missing("stlpips_alex") is not None, reason="wheel stlpips-pytorch is not installed"
)


def fixed_pictures(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two smooth color patterns of sines alone, the same on any machine."""
    y = torch.arange(height).view(1, 1, height, 1) / height
    x = torch.arange(width).view(1, 1, 1, width) / width
    c = torch.arange(3).view(1, 3, 1, 1)
    first = 0.5 + 0.5 * torch.sin(9 * x + 7 * y * (c + 1) + c)
    second = 0.5 + 0.5 * torch.cos(104 * x * y + 5 * y + 2 * c)
    return first, second


@needs_weights
@pytest.mark.parametrize(
    ("network", "size", "all_of_it", "half_of_it"),
    [
        ("stlpips_alex", (64, 64), 0.857759, 0.330638),
        ("stlpips_alex", (61, 75), 0.864510, 0.313667),
        ("stlpips_vgg", (64, 64), 0.812317, 0.140983),
        ("stlpips_vgg", (61, 75), 0.809543, 0.151710),
    ],
)
def test_stlpips_equals_the_packages_own_class(network, size, all_of_it, half_of_it):
    first, second = fixed_pictures(*size)
    mixed = (first + second) / 2
    measured = perceptual_distance(network)(torch.cat([first, mixed]), second)
    assert measured.tolist() == pytest.approx([all_of_it, half_of_it], abs=1e-5)


@needs_weights
def test_equal_pictures_have_no_distance_and_a_finite_gradient():
    picture = fixed_pictures(48, 48)[0].requires_grad_()
    distance = perceptual_distance("stlpips_alex")(picture, picture.detach())
    distance.sum().backward()
    assert distance.item() == 0
    assert picture.grad is not None
    assert torch.isfinite(picture.grad).all()


@needs_weights
def test_gradients_reach_the_picture_and_never_the_weights():
    network = perceptual_distance("stlpips_alex")
    first, second = fixed_pictures(48, 48)
    first.requires_grad_()
    network(first, second).sum().backward()
    assert first.grad is not None
    assert first.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in network.parameters())


def test_the_distance_of_features_has_autograds_value_and_gradient():
    torch.manual_seed(0)
    features, wanted = (torch.rand(2, 5, 4, 3).relu_() for _ in range(2))
    features[0, :, 1, 1] = 0  # an all-zero pixel
    features.requires_grad_()
    head, share = torch.rand(1, 5, 1, 1), torch.tensor([1.0, 3.0])

    def unit(x):
        return x / (x.square().sum(1, keepdim=True) + 1e-20).sqrt()

    plain = ((unit(features) - unit(wanted)).square() * head).sum(1).mean((1, 2))
    own = perceptual._Distance.apply(features, wanted, head)
    gradients = [torch.autograd.grad((d * share).sum(), features)[0] for d in (plain, own)]
    torch.testing.assert_close(own, plain)
    known = features.detach().sum(1, keepdim=True).expand_as(features) > 0
    torch.testing.assert_close(gradients[1][known], gradients[0][known])
    assert gradients[1].isfinite().all()


@needs_weights
def test_a_network_first_used_in_inference_mode_still_trains():
    first, second = fixed_pictures(48, 48)
    perceptual_distance.cache_clear()
    with torch.inference_mode():
        perceptual_distance("stlpips_alex")(first, second)
    first.requires_grad_()
    perceptual_distance("stlpips_alex")(first, second).sum().backward()
    assert first.grad is not None


@needs_weights
@pytest.mark.parametrize("network", [n for n in NETWORKS if missing(n) is None])
def test_loading_a_network_draws_nothing_of_the_callers(network):
    perceptual_distance.cache_clear()
    before = torch.get_rng_state()
    perceptual_distance(network)
    assert torch.equal(torch.get_rng_state(), before)


@needs_weights
def test_distance_grows_with_damage():
    picture, _ = fixed_pictures(64, 64)
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    damaged = torch.cat([picture + noise * s for s in (0.02, 0.1, 0.3)])
    distances = perceptual_distance("stlpips_alex")(damaged, picture).tolist()
    assert distances == sorted(distances)
    assert not math.isclose(distances[0], distances[-1])


def test_a_network_without_weights_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(perceptual.torch.hub, "get_dir", lambda: "/nowhere")
    perceptual_distance.cache_clear()
    with pytest.raises(UserError, match=r"lpips_vgg.*vgg16-397923af\.pth"):
        perceptual_distance("lpips_vgg")
