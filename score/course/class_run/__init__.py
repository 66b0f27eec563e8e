"""Grading a class: what is stale, where it is graded, and what is written into the course."""
