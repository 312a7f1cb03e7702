"""`protoledger bench`: what ours costs beside what one would use instead."""
