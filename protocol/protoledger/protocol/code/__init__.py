"""SwiftAgg+'s mathematics: the field, the code that shares and decodes, seats, and plans."""
