"""`img2img bench`: what this machine can do, and how much of it training, inference, data and
codecs use.

`run.py` goes through the parts in order. Nothing is imported here, for a process that measures the
memory of one thing holds nothing else.
"""
