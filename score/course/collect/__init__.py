"""From an LMS export to the course's submissions."""
