"""Plugins that break one promise each: the mutation check of the conformance kit."""
