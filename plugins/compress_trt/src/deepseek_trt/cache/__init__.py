"""Engines that were built, kept under the hash of all that they depend on."""
