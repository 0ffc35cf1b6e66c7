"""A user's tables and arrays as series and sequences in flat arrays; nothing here knows a network."""
