"""A paper venue: it fills the slices of live orders on the bars in which they trade, and tells the desk its fills."""
