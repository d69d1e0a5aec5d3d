"""What is to be made: dates, steps and how long they take. Nothing here starts a run."""
