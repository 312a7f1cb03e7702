"""`python -m protoledger`: the command where no script was installed."""

from protoledger.runtime.command import main

if __name__ == "__main__":
    main()
