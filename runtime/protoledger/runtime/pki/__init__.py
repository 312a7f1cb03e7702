"""Keys, certificates and rosters of a site, for its owner and for its devices.

A device makes its own keys and a request; the owner compares the request's fingerprint on both
sides, signs the certificate, and signs a roster with the public halves. The playbooks and
`protoledger site` keep the owner's secrets in the same folder, laid out as `owner` describes it.
"""
