"""Speed beside gym-pusht from PyPI, both measured in the same run: `make bench`."""
