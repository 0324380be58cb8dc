"""`python -m pulid_sdcpp`, the same as the command `pulid-sdcpp`."""

from .cli import main

if __name__ == "__main__":
    main(prog_name="pulid-sdcpp")
