"""DataOracle and its reporters: sources, signed reports, and where reporters meet."""
