"""Large Execution Models: markets, features, the model, execution and evaluation. Knows no scheduler."""
