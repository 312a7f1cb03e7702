"""XuILVQ as published: its classifier, numpy body and state."""
