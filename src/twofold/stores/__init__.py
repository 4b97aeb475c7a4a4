"""Where events and read models are kept: one folder per kind of store, each an adapter of the ports."""
