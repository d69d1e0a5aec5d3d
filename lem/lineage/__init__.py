"""What a partition was made from, and whether that is still so."""
