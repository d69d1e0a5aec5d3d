"""Live orders over HTTP."""
