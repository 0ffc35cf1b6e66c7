"""Tasks: what a table's columns mean to a network, how its output is judged and used. One room a task."""
