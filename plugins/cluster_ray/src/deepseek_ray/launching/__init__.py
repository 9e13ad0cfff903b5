"""One command on other nodes of the cluster: started, followed and ended."""
