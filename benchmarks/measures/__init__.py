"""What the benchmarks beside this folder measure with."""
