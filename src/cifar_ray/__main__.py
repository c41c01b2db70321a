"""`python -m cifar_ray`: the command, also where it is not on the PATH."""

from cifar_ray.cli.main import main

if __name__ == "__main__":
    main()
