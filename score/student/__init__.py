"""Functions that students call in a notebook: checks, progress, comparisons, published names."""
