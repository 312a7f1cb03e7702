"""Contributions whose validity holders can prove to the gateway without seeing them.

A contribution is laid out as bits and votes (`code.layout`), shared with masks (`proven`), and
checked by random linear combinations under one challenge that nobody knew while sharing
(`challenge`). The gateway puts the holders' reports together, corrects those that are off, and says
which contributor and holder contradict each other (`judging`). Everything is a pure function of
symbols: the rounds decide what is sent to whom.
"""
