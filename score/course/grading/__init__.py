"""Grades one notebook of one student; nbgrader is not needed for it."""
