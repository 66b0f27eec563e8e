"""From a notebook's source to what students get."""
