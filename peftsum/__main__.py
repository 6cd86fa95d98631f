"""``python -m peftsum``: the command line."""

from peftsum.cli import main

if __name__ == "__main__":
    main()
