"""Sensors without hardware: a seeded waveform (`mock`) and recorded columns (`replay`)."""
