"""Templates of new plugins: what each kind is made of, its names, the files themselves."""
