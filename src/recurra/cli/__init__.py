"""The command line: one file a verb. Importing it imports neither torch nor polars nor matplotlib."""
