"""What a student calls in a notebook: checks, progress, comparisons, the published names."""
