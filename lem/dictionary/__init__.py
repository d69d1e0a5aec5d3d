"""Every table and column in words, held against the schemas."""
