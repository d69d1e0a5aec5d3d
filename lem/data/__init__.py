"""From a source's rows to what a model reads: rules for bars, causal features, the panel of all assets."""
