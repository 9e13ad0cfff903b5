"""Sessions, plans and their execution: the one package that joins the others."""
