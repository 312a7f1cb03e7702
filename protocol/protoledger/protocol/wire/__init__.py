"""What goes over the wire: messages, topics, schema, terms, identities, and seals."""
