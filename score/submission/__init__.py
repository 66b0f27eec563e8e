"""Pack the files that a student hands in, read such archives, and check them."""
