"""Where a student's kernel runs."""
