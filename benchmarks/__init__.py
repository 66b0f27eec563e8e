"""Speed: beside gym-pusht from PyPI (`make bench`), and of grading a class (`make bench-class`).

Both sides of a ratio are always measured in the same run.
"""
