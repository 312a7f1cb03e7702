"""`bench network`: a site over a real broker, from 10 to 1,000 agents."""
