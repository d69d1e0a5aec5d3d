"""The rules, the learned strategy, and the bounds and thresholds that the rules come from."""
