"""Run a notebook as it is run when graded: without training, and of practice cells and a student's
own cells only what the graded cells need.
"""
