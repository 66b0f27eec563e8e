"""Grading on Gradescope."""
