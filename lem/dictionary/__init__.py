"""Every table and column in words, checked against the schemas."""
