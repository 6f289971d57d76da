"""`python -m delineate`."""

from delineate.cli import main

if __name__ == "__main__":
    main()
