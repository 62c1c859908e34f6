"""Devices by name: unknown ones, and known ones that this machine does not have, are one line."""

from __future__ import annotations

import pytest
import torch

from img2img.devices import pick_device
from img2img.errors import UserError


@pytest.mark.parametrize("name", ["foo", "", "meta"])
def test_an_unknown_device_is_told_the_known_ones(name: str) -> None:
    with pytest.raises(UserError) as error:
        pick_device(name)
    assert (
        str(error.value) == f"device: unknown device '{name}': use auto, cpu, cuda, cuda:1 or mps"
    )


@pytest.mark.parametrize(
    ("name", "meant"), [("cud", "cuda"), ("cuda:x", "cuda:1"), ("gpu", "cuda"), ("CPU", "cpu")]
)
def test_a_device_that_is_nearly_known(name: str, meant: str) -> None:
    with pytest.raises(UserError) as error:
        pick_device(name)
    assert str(error.value) == f"device: unknown device '{name}', did you mean '{meant}'?"


@pytest.mark.parametrize(
    ("name", "built", "count", "reason"),
    [
        ("cuda", False, 0, "this torch is built without CUDA"),
        ("cuda", True, 0, "CUDA devices found: 0, counted from 0"),
        ("cuda:1", True, 1, "CUDA devices found: 1, counted from 0"),
        ("mps", True, 0, "no Apple GPU found"),
    ],
)
def test_a_device_that_is_not_here(
    monkeypatch: pytest.MonkeyPatch, name: str, built: bool, count: int, reason: str
) -> None:
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError) as error:
        pick_device(name)
    assert str(error.value) == f"device: '{name}' is not here ({reason}): use auto or cpu"


def test_devices_that_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [str(pick_device(name)) for name in ("cpu", "cuda", "cuda:1")] == [
        "cpu",
        "cuda",
        "cuda:1",
    ]
