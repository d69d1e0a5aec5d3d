"""The page: tables, figures and words of a walk-forward."""
