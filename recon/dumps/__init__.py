"""Files that hold a list: where they lie, how they are packed and written, and what proves that one came to its end."""
