"""The chain's tools that npm installs, and what runs them: build, analysis, a local node."""
