"""Models of tables: the operators of ai.onnx.ml."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from small_models.building import (
    FLOAT,
    INT64,
    ML,
    STRING,
    Built,
    Cases,
    as_model,
    node,
    rows,
    tensor,
    tensor_type,
)

cases = Cases("tables")

_TREE = {
    "nodes_treeids": [0, 0, 0, 0, 0],
    "nodes_nodeids": [0, 1, 2, 3, 4],
    "nodes_featureids": [0, 1, 0, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "BRANCH_LEQ", "LEAF", "LEAF", "LEAF"],
    "nodes_values": [0.0, 0.5, 0.0, 0.0, 0.0],
    "nodes_truenodeids": [1, 3, 0, 0, 0],
    "nodes_falsenodeids": [2, 4, 0, 0, 0],
}


def _scores(node_, outputs, **more) -> Built:
    model = as_model([node_], [tensor("x", ["N", 3])], outputs, domains={ML: 3}, **more)
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def tree_classifier() -> Built:
    """TreeEnsembleClassifier: a label and scores."""
    tree = node(
        "TreeEnsembleClassifier",
        ["x"],
        ["label", "scores"],
        domain=ML,
        **_TREE,
        class_treeids=[0, 0, 0],
        class_nodeids=[2, 3, 4],
        class_ids=[0, 1, 2],
        class_weights=[1.0, 1.0, 1.0],
        classlabels_int64s=[0, 1, 2],
        post_transform="SOFTMAX",
    )
    return _scores(tree, [tensor("label", ["N"], INT64), tensor("scores", ["N", 3])])


@cases.add
def tree_regressor() -> Built:
    """TreeEnsembleRegressor."""
    tree = node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain=ML,
        **_TREE,
        target_treeids=[0, 0, 0],
        target_nodeids=[2, 3, 4],
        target_ids=[0, 0, 0],
        target_weights=[1.5, -2.0, 0.25],
        n_targets=1,
    )
    return _scores(tree, [tensor("y", ["N", 1])])


@cases.add
def tree_ensemble_of_version_5() -> Built:
    """TreeEnsemble, which replaced both, on float64."""
    double = helper.make_tensor
    tree = node(
        "TreeEnsemble",
        ["x"],
        ["y"],
        domain=ML,
        n_targets=1,
        aggregate_function=1,
        post_transform=0,
        tree_roots=[0],
        nodes_modes=helper.make_tensor("modes", TensorProto.UINT8, (2,), [0, 0]),
        nodes_featureids=[0, 1],
        nodes_splits=double("splits", TensorProto.DOUBLE, (2,), [0.0, 0.5]),
        nodes_truenodeids=[1, 0],
        nodes_trueleafs=[0, 1],
        nodes_falsenodeids=[2, 1],
        nodes_falseleafs=[1, 1],
        leaf_targetids=[0, 0, 0],
        leaf_weights=double("leaves", TensorProto.DOUBLE, (3,), [1.5, -2.0, 0.25]),
    )
    ends = (
        [tensor("x", ["N", 3], TensorProto.DOUBLE)],
        [tensor("y", ["N", 1], TensorProto.DOUBLE)],
    )
    return Built(
        model=as_model([tree], *ends, domains={ML: 5}, opset=21, ir_version=10),
        inputs=lambda rng, items: {"x": rng.standard_normal((items, 3))},
        axes={"x": 0},
    )


@cases.add
def linear_classifier_with_words() -> Built:
    """LinearClassifier with labels that are words, then ZipMap: a converted classifier."""
    linear = node(
        "LinearClassifier",
        ["x"],
        ["label", "raw"],
        domain=ML,
        coefficients=[0.5, -1.0, 0.25, 1.0, 0.5, -0.5],
        intercepts=[0.1, -0.1],
        classlabels_strings=["no", "yes"],
        post_transform="SOFTMAX",
    )
    words = node("ZipMap", ["raw"], ["scores"], domain=ML, classlabels_strings=["no", "yes"])
    kind = helper.make_map_type_proto(TensorProto.STRING, tensor_type(FLOAT, []))
    scores = helper.make_value_info("scores", helper.make_sequence_type_proto(kind))
    outputs = [tensor("label", ["N"], STRING), scores]
    model = as_model([linear, words], [tensor("x", ["N", 3])], outputs, domains={ML: 3})
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def linear_regressor() -> Built:
    """LinearRegressor behind a Scaler and an Imputer."""
    nodes = [
        node("Imputer", ["x"], ["i"], domain=ML, imputed_value_floats=[0.5] * 3),
        node("Scaler", ["i"], ["s"], domain=ML, offset=[0.1, 0.2, 0.3], scale=[2.0, 1.0, 0.5]),
        node(
            "LinearRegressor",
            ["s"],
            ["y"],
            domain=ML,
            coefficients=[0.5, -1.0, 0.25],
            intercepts=[0.1],
        ),
    ]

    def make(rng, items):
        x = rng.standard_normal((items, 3)).astype("f")
        x[rng.random((items, 3)) < 0.2] = np.nan
        return {"x": x}

    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 1])]
    return Built(model=as_model(nodes, *ends, domains={ML: 3}), inputs=make, axes={"x": 0})


@cases.add
def normalizer_of_rows() -> Built:
    """Normalizer."""
    return _scores(node("Normalizer", ["x"], ["y"], domain=ML, norm="L2"), [tensor("y", ["N", 3])])


@cases.add
def binarizer() -> Built:
    """Binarizer."""
    made = node("Binarizer", ["x"], ["y"], domain=ML, threshold=0.25)
    return _scores(made, [tensor("y", ["N", 3])])


@cases.add
def support_vectors() -> Built:
    """SVMRegressor with a radial kernel."""
    made = node(
        "SVMRegressor",
        ["x"],
        ["y"],
        domain=ML,
        coefficients=[0.5, -0.5],
        support_vectors=[0.1, 0.2, 0.3, -0.1, -0.2, -0.3],
        n_supports=2,
        kernel_type="RBF",
        kernel_params=[0.3, 0.0, 3.0],
        rho=[0.1],
    )
    return _scores(made, [tensor("y", ["N", 1])])


@cases.add
def words_to_numbers() -> Built:
    """LabelEncoder on strings, with a default for what it does not know."""
    encoder = node(
        "LabelEncoder",
        ["x"],
        ["y"],
        domain=ML,
        keys_strings=["red", "green"],
        values_int64s=[1, 2],
        default_int64=-1,
    )
    ends = [tensor("x", ["N", 1], STRING)], [tensor("y", ["N", 1], INT64)]
    model = as_model([encoder], *ends, domains={ML: 3})
    return Built(model=model, inputs=_colors, axes={"x": 0})


@cases.add
def words_to_columns() -> Built:
    """OneHotEncoder on strings."""
    made = node("OneHotEncoder", ["x"], ["y"], domain=ML, cats_strings=["red", "green"], zeros=1)
    ends = [tensor("x", ["N", 1], STRING)], [tensor("y", ["N", 1, 2])]
    model = as_model([made], *ends, domains={ML: 3})
    return Built(model=model, inputs=_colors, axes={"x": 0})


def _colors(rng, items):
    return {"x": rng.choice(np.array(["red", "green", "blue"], object), (items, 1))}


@cases.add
def columns_of_different_dtypes() -> Built:
    """A table as converters have it: one input a column, floats, numbers and words."""
    nodes = [
        node("LabelEncoder", ["color"], ["c"], domain=ML, keys_strings=["red", "green"],
             values_floats=[1.0, 2.0], default_float=0.0),
        node("Cast", ["age"], ["a"], to=FLOAT),
        node("Concat", ["height", "a", "c"], ["table"], axis=1),
        node("Scaler", ["table"], ["y"], domain=ML, offset=[1.0, 30.0, 0.0], scale=[1.0, 0.1, 1.0]),
    ]  # fmt: skip
    inputs = [
        tensor("height", [None, 1]),
        tensor("age", [None, 1], INT64),
        tensor("color", [None, 1], STRING),
    ]

    def make(rng, items):
        return {
            "height": rng.random((items, 1), np.float32),
            "age": rng.integers(1, 99, (items, 1)),
            "color": _colors(rng, items)["x"],
        }

    model = as_model(nodes, inputs, [tensor("y", [None, 3])], domains={ML: 3})
    return Built(model=model, inputs=make, axes={"height": 0, "age": 0, "color": 0})


@cases.add
def chosen_columns() -> Built:
    """ArrayFeatureExtractor takes columns by number."""
    made = node("ArrayFeatureExtractor", ["x", "which"], ["y"], domain=ML)
    return _scores(made, [tensor("y", ["N", 2])], constants={"which": [2, 0]})


@cases.add
def words_counted() -> Built:
    """TfIdfVectorizer on strings: one row for all words."""
    made = node(
        "TfIdfVectorizer",
        ["x"],
        ["y"],
        mode="TF",
        min_gram_length=1,
        max_gram_length=2,
        max_skip_count=0,
        ngram_counts=[0, 2],
        ngram_indexes=[0, 1, 2],
        pool_strings=["red", "green", "red", "blue"],
    )

    def make(rng, items):
        return {"x": _colors(rng, items + 1)["x"][:, 0]}

    ends = [tensor("x", ["words"], STRING)], [tensor("y", [3])]
    return Built(model=as_model([made], *ends), inputs=make)
