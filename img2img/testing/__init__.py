"""For authors of a task: the contract as a check, samples for tests of its own, and faults that a
training must survive (`img2img.testing.faults`).

>>> from img2img.tasks.denoise import Denoise
>>> check_task(Denoise)  # or an instance, with the fields that it requires

Nothing printed: Denoise keeps the contract. Elsewhere an AssertionError says what is wrong, and
mostly what to write.
"""

from img2img.testing.contract import check_task, sample_for

__all__ = ["check_task", "sample_for"]
