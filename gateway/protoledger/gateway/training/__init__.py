"""A site's model: samples are tested, then learnt; what is significant is to be committed."""
