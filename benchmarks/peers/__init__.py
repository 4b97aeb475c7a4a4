"""Other people's libraries at the same work, set up as their documentation advises."""
