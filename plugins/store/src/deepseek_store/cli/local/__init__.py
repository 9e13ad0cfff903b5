"""Files and folders of this machine, as commands read and write them."""
