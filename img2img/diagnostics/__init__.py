"""Watching a training: vital signs, the doctor that reads them, its remedies, the report."""
