"""The adapter to nbgrader: its configuration, its steps, its gradebook."""
