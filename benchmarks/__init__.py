"""Side-by-side measurements of speed: ``python -m benchmarks [NAME]``."""
