"""What the kit's own makers run: references, demonstrations, the demo."""
