"""The commands, and what the kit's makers run: references, demonstrations, the demo."""
