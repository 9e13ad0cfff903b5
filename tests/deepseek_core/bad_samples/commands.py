"""A sound command, and the others."""

import argparse


def sound(argv):
    parser = argparse.ArgumentParser(prog="sound")
    parser.add_argument("--count", type=int, default=1)
    print("counted to", parser.parse_args(argv).count)
    return 0


def fails(argv):
    sound(argv)
    return 3


def returns_nothing(argv):
    sound(argv)


def helps_nobody(argv):
    return 0 if argv == ["--help"] else sound(argv)


def raises(argv):
    options = {"--help": "help", "--count": "count"}
    return sound(argv) if not argv or options[argv[0]] else 1
