"""What a kernel takes, and what the machine lacks while it runs."""
