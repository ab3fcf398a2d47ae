"""`python -m coarsecon` is the same as `coarsecon`."""

from coarsecon.cli.main import run

if __name__ == "__main__":
    run()
