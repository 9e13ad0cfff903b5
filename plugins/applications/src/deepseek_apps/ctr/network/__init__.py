"""Networks of feature crosses: one embedding table, FM and DCN-v2, trained as members of folds."""
