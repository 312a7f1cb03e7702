"""`python -m protoledger` runs the command `protoledger`."""

from protoledger.runtime.command import main

if __name__ == "__main__":
    main()
