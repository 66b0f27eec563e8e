"""What opens the code and the pickles of a submission: only a graded kernel imports it."""
