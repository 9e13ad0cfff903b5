"""Inspection of parts by pictures: which have a defect, of what class, and where."""
