"""Inputs of a network on the atoms of a protein: a graph with edges between neighbors."""

from __future__ import annotations

import numpy as np
from corpus_kit.case import Inputs

_ATOMS_OF_RESIDUE = 6
_NEIGHBORS = 4

# Legend: A atoms, E edges, R residues.


def protein(rng: np.random.Generator, residues: int) -> Inputs:
    """As many residues as asked for, six atoms each, each atom with four neighbors."""
    atoms = residues * _ATOMS_OF_RESIDUE
    return {**_atoms(rng, atoms), **_edges(rng, atoms), **_residues(rng, residues, atoms)}


def _atoms(rng: np.random.Generator, atoms: int) -> Inputs:
    normal_A3 = _normal(rng, atoms, 3)
    return {
        "element": rng.integers(0, 7, atoms),
        "amino_acid": rng.integers(0, 21, atoms),
        "atom_role": rng.integers(0, 14, atoms),
        "bfactor": _normal(rng, atoms),
        "pos": 3 * _normal(rng, atoms, 3),
        "node_normal": normal_A3 / np.linalg.norm(normal_A3, axis=1, keepdims=True),
    }


def _edges(rng: np.random.Generator, atoms: int) -> Inputs:
    count = atoms * _NEIGHBORS
    source_E = np.repeat(np.arange(atoms), _NEIGHBORS)
    target_E = (source_E + rng.integers(1, atoms, count)) % atoms
    return {
        "edge_index": np.stack([source_E, target_E]),
        "edge_dist": rng.uniform(1, 5, count).astype(np.float32),
        "seq_sep": rng.integers(0, 33, count),
        "same_residue": (rng.random(count) < 0.3).astype(np.float32),
        "is_hbond": (rng.random(count) < 0.1).astype(np.float32),
        "hb_cos": rng.uniform(-1, 1, count).astype(np.float32),
    }


def _residues(rng: np.random.Generator, residues: int, atoms: int) -> Inputs:
    return {
        "target_indices": rng.integers(0, atoms, (residues, 6)),
        "target_mask": np.ones((residues, 6), bool),
        "residue_types": rng.integers(0, 20, residues),
        "residue_geometry": _normal(rng, residues, 52),
        "target_environment": _normal(rng, residues, 6, 15),
        "temperature_feature": _normal(rng, residues, 1),
        "target_atom_rsasa": rng.random((residues, 6), np.float32),
    }


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)
