"""Compile the kernels beside the process, and switch to them between two samples."""
