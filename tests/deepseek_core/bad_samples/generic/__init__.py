"""Hooks that break one promise of all plugins each."""
