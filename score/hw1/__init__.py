"""Hand-ins of the script assignment."""
