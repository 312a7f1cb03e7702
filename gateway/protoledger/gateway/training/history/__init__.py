"""What a page may show of a gateway: a file beside its store, which the gateway alone writes.

The `recorder` watches the model as it predicts and learns, and writes samples, events, a `map` of
the prototypes, what other owners bring (`gains`) and explanations of answers into the `tables` of
that file. The dashboard and the report read it in their own processes. Nothing of it is ever read
back by the gateway, and it can be deleted at any time.
"""
