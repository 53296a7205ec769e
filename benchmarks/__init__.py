"""Measurements of speed, memory, detection and exactness, as commands: `python -m benchmarks.run`."""
