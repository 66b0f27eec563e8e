"""Rollouts of a trained policy: how it is called, its score, and its loss curve."""
