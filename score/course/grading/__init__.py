"""Grading: one notebook, and a class."""
