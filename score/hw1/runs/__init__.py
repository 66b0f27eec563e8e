"""The run directories of a submission: which is of which method, and what they say."""
