"""Scripts that measure what the documentation quotes: `python -m benchmarks.NAME`, all of them with `make bench`."""
