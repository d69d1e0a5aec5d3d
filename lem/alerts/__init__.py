"""What is wrong with a universe, and who was told: problems, what was told of them, and how it is sent."""
