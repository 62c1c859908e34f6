"""Models as graphs for other runtimes: built of ours, read from files, run behind our Pipeline."""
