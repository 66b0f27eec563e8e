"""Speed: beside gym-pusht from PyPI (`make bench`), of grading a class
(`make bench-class`), and of training (`make bench-training`).

Both sides of a ratio are always measured in the same run.
"""
