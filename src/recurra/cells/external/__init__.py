"""Cells with an external memory: Turing machines, stacks, queues and deques, each with a controller of any kind."""
