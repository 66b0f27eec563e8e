"""What instructors and students read about grades."""
