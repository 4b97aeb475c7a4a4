"""The steps of the flow, one file each: decide, append, subscribe, fold, ask. Knows ports, never an adapter."""
