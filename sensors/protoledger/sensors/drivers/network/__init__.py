"""Drivers of sensors that other programs read: a message or a document comes in, a number goes out.

`mqtt` reads topics of a home's broker, `http` reads a URL. `payload` finds the value in a message
of either and converts it; what comes from the network is untrusted until it is a finite number.
"""
