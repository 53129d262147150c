"""The `kt` command."""

from kt_lib.cli.app import main

if __name__ == "__main__":
    main()
