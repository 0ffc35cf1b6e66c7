"""Learning: how weights are found. `rules` holds the ways to obtain a sequence's gradient."""
