"""Files and calls that nobody should send, and what is to become of each.

`photos`, `recipes`, `model_files` and `calls` hold the corpus, each a registry of names; `battery`
runs commands on it in a process with bounded memory.
"""
