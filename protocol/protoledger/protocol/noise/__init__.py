"""Optional differential privacy of a round's sums: noise that each agent adds, and what it costs.

`sampler` draws integers from the discrete Gaussian, `accounting` turns ε into what rounds cost and
back, and `mechanism` fits both to a site: contributions come in, wider ones with noise go out to
`rounds`, and sums of these come back as estimates. A site without `privacy` uses none of it.
"""
