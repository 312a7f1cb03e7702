"""What grows how: `protoledger bench growth`.

Sizes flow to three measurements: `owners`, what a site spends on judging other owners and on a
vote; `following`, what a ledger client spends on their commits; `agents`, what a round takes with
so many agents. `bench` fits a power of the size to each, and prints a table.
"""
