"""What `dg scaffold defs` adds here is deployed beside the universes, from a checkout only."""
