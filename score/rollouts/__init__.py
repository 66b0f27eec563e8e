"""Rollouts of a trained policy: how it is called, what it scores, how its training went."""
