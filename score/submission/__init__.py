"""The files to hand in: archive, pack, check."""
