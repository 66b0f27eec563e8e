"""The adapter to nbgrader: its configuration, its release, its steps, its gradebook."""
