"""One plug-in of each kind; nothing is imported before it is asked for by its name."""
