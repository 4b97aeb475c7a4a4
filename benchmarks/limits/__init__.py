"""The floor below us: what the same work costs with nothing of ours in the way."""
