"""Speed beside gym-pusht from PyPI (`make bench`) and of grading a class (`make bench-class`), each
measured against its peer in one run.
"""
