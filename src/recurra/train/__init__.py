"""Training: the loop, its parts, and the folders that it leaves behind."""
