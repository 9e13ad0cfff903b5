"""Sessions, plans and their execution: the one room that joins the others."""
