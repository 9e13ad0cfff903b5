"""The past on disk: blocks of a minute in files of bounded size."""
