"""The one process that owns the embedded stores, and what it serves to the others."""
