"""Learning: how weights are found.

`rules` obtains the gradient of a sequence's loss, `search` finds weights from a fitness alone, `closed` solves for
them, `objectives` says what is wanted, and `signal_flow` derives gradients from a network's graph.
"""
