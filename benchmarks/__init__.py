"""Side-by-side timings against other tools: ``python -m benchmarks.run``."""
