"""What `lem check` and `lem doctor` look at, one finding a line; nothing that they find is changed."""
