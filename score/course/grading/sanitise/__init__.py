"""What is taken from a notebook before it is run, and before what came of it is read."""
