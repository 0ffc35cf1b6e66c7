"""The rows of the table of cells, one file a family. Importing them imports no torch."""
