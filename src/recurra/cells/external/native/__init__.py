"""Steps of machines with a memory, and their gradients, written for this processor."""
