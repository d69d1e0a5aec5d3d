"""Parent orders, their terms, fills, costs and gain: the ground floor, in tensors. It knows no table and no model."""
