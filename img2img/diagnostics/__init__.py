"""Watching a training run: vital signs, the doctor that reads them, its remedies, and the report."""
