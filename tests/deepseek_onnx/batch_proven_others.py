"""Cases that are proven: strings, tables, and the fused and quantized operators of runtimes."""

# ruff: noqa: E501 - a model is a line

from batch_text import each

TEXTS = (
    'string[N] x -> y = RegexFullMatch <pattern = "a"> (x)',
    "string[N,2] x, string w -> y = StringConcat (x, w)",
    'string[N] x -> y = StringNormalizer <locale = "C.UTF-8", case_change_action = "UPPER"> (x)',
    'int64[N,3] x -> y = TfIdfVectorizer <mode = "TF", min_gram_length = 1, max_gram_length = 1, '
    "max_skip_count = 0, ngram_counts = [0], ngram_indexes = [0, 1], pool_int64s = [0, 1]> (x)",
    'string[N] x -> y = ai.onnx.ml.LabelEncoder <keys_strings = ["a", ""], values_int64s = [1, 2]> (x)',
)  # fmt: skip

_TREE = (
    "nodes_falsenodeids = [2, 0, 0], nodes_featureids = [0, 0, 0], "
    'nodes_modes = ["BRANCH_LEQ", "LEAF", "LEAF"], nodes_nodeids = [0, 1, 2], '
    "nodes_treeids = [0, 0, 0], nodes_truenodeids = [1, 0, 0], nodes_values = [0.1, 0.0, 0.0]"
)
TABLES = (
    "float[N,3] x -> y1, y2 = ai.onnx.ml.TreeEnsembleClassifier <class_ids = [0, 1], class_nodeids = [1, 2], "
    f"class_treeids = [0, 0], class_weights = [1.0, 1.0], classlabels_int64s = [5, 7], {_TREE}> (x)",
    "float[N,3] x -> y = ai.onnx.ml.TreeEnsembleRegressor <target_ids = [0, 0], target_nodeids = [1, 2], "
    f"target_treeids = [0, 0], target_weights = [1.0, 2.0], n_targets = 1, {_TREE}> (x)",
    "float[N,3] x -> y1, y2 = ai.onnx.ml.LinearClassifier <coefficients = [1.0, 2.0, 3.0, 0.5, 0.1, -1.0], "
    'intercepts = [0.0, 1.0], classlabels_ints = [3, 4], post_transform = "SOFTMAX"> (x)',
    # Scores laid out again by their width, which is the number of labels.
    "float[N,3] x -> y1, b = ai.onnx.ml.LinearClassifier <coefficients = [1.0, 2.0, 3.0, 0.5, 0.1, -1.0, 0.1, 1.0, -0.2], "
    "intercepts = [0.0, 1.0, 0.5], classlabels_ints = [3, 4, 9]> (x); w = Constant <value = int64[2] {-1, 3}> (); "
    "y = Reshape (b, w)",
    "float[N,3] x -> y1, b = ai.onnx.ml.TreeEnsembleClassifier <class_ids = [0, 0], class_nodeids = [1, 2], "
    f"class_treeids = [0, 0], class_weights = [0.2, 0.9], classlabels_int64s = [5, 7], {_TREE}> (x); "
    "w = Constant <value = int64[2] {-1, 2}> (); y = Reshape (b, w)",
    "float[N,3] x -> b = ai.onnx.ml.TreeEnsembleRegressor <target_ids = [0, 1], target_nodeids = [1, 2], "
    f"target_treeids = [0, 0], target_weights = [1.0, 2.0], n_targets = 2, {_TREE}> (x); "
    "w = Constant <value = int64[2] {-1, 2}> (); y = Reshape (b, w)",
    "float[N,3] x -> y = ai.onnx.ml.LinearRegressor <coefficients = [1.0, 2.0, 3.0]> (x)",
    "float[N,2] x -> y = ai.onnx.ml.SVMRegressor <coefficients = [1.0, -1.0], n_supports = 2, rho = [0.5], "
    'support_vectors = [1.0, 0.0, 0.0, 1.0], kernel_type = "LINEAR", kernel_params = [0.1, 0.0, 3.0]> (x)',
    "float[N,2] x -> y1, y2 = ai.onnx.ml.SVMClassifier <classlabels_ints = [0, 1], coefficients = [1.0, -1.0], "
    "vectors_per_class = [1, 1], rho = [0.5], support_vectors = [1.0, 0.0, 0.0, 1.0], "
    'kernel_type = "LINEAR", kernel_params = [0.1, 0.0, 3.0]> (x)',
    "float[N,3] x -> y = ai.onnx.ml.Scaler <offset = [0.0, 1.0, 2.0], scale = [1.0, 2.0, 3.0]> (x)",
    *each('float[N,3] x -> y = ai.onnx.ml.Normalizer <norm = "$n"> (x)', n=("MAX", "L1", "L2")),
    "float[N,3] x -> y = ai.onnx.ml.Imputer <imputed_value_floats = [1.0, 2.0, 3.0], replaced_value_float = 0.0> (x)",
    "int64[N] x -> y = ai.onnx.ml.OneHotEncoder <cats_int64s = [0, 1, 2]> (x)",
    "float[N,3] x -> y = ai.onnx.ml.Binarizer <threshold = 0.1> (x)",
    'string[N] x -> y = ai.onnx.ml.CategoryMapper <cats_int64s = [1, 2], cats_strings = ["a", ""]> (x)',
    "float[N,3] x -> w = Constant <value = int64[2] {0, 2}> (); y = ai.onnx.ml.ArrayFeatureExtractor (x, w)",
    # A label by its number.
    "float[N,3] x, int64[3] w -> i = ArgMax <axis = 1> (x); a = ai.onnx.ml.ArrayFeatureExtractor (w, i); "
    "s = Constant <value = int64[1] {-1}> (); y = Reshape (a, s)",
    "float[N,3] x, float[N,2] b -> y = ai.onnx.ml.FeatureVectorizer <inputdimensions = [3, 2]> (x, b)",
    "float[N,3] x -> y = ai.onnx.ml.TreeEnsemble <n_targets = 1, tree_roots = [0], "
    "nodes_splits = float[1] {0.1}, nodes_featureids = [0], nodes_modes = uint8[1] {0}, "
    "nodes_truenodeids = [0], nodes_trueleafs = [1], nodes_falsenodeids = [1], nodes_falseleafs = [1], "
    "leaf_targetids = [0, 0], leaf_weights = float[2] {1.0, 2.0}> (x)",
)  # fmt: skip

_Q = "float w1_scale, uint8 w2, float w3_scale, uint8 w4"
FUSED = (
    *each("float[N,T,4] x -> y = com.microsoft.$op (x)", op=("Gelu", "QuickGelu")),
    "int32[N] x -> y = com.microsoft.MurmurHash3 (x)",
    *each("float[N,T,4] x, float[4] w -> y = com.microsoft.$op (x, w)", op=("BiasGelu", "FastGelu")),
    "float[N,T,4] x, float[4] w, float[N,T,4] b -> y = com.microsoft.BiasAdd (x, w, b)",
    "float[N,T,4] x, float[N,T,4] b, float[4] w, float[4] w2, float[4] w3 -> "
    "y, a, b2, y2 = com.microsoft.SkipLayerNormalization (x, b, w, w2, w3)",
    "float[N,T,4] x, float[N,T,4] b, float[4] w -> y = com.microsoft.SkipSimplifiedLayerNormalization (x, b, w)",
    "int32[N,T] i, int32[N,T] s, float[5,4] w, float[8,4] w2, float[3,4] w3, float[4] w4, int32[N,T] m -> "
    "y1, y2 = com.microsoft.EmbedLayerNormalization (i, s, w, w2, w3, w4, w4, m)",
    "float[N,T,4] x, float[4,12] w, float[12] w2, int32[N,T] m -> "
    "y = com.microsoft.Attention <num_heads = 2> (x, w, w2, m)",
    "float[N,T,4] x, float[4,12] w, float[12] w2, float[2,N,2,P,2] p -> "
    "y1, y2 = com.microsoft.Attention <num_heads = 2, unidirectional = 1> (x, w, w2, , p)",
    "float[N,T,4] q, float[N,S,4] k, float[N,S,4] v, float[12] w, float[1,2,T,S] w2 -> "
    "y = com.microsoft.MultiHeadAttention <num_heads = 2> (q, k, v, w, , w2)",
    "float[N,T,4] q, float[N,S,4] k, float[N,S,4] v, float[N,2,P,2] pk, float[N,2,P,2] pv -> "
    "y1, y2, y3 = com.microsoft.MultiHeadAttention <num_heads = 2> (q, k, v, , , , pk, pv)",
    "float[N,2,T,4] x, int64[N,T] i, float[8,2] w, float[8,2] w2 -> y = com.microsoft.RotaryEmbedding (x, i, w, w2)",
    "float[N,2,T,4] x, int64[1] w3, float[8,2] w, float[8,2] w2 -> y = com.microsoft.RotaryEmbedding (x, w3, w, w2)",
    "uint8[N,T,4] x, int8[4,12] w, float[12] w2, float w3_scale, float w4_scale, int32[N] m, uint8 w5, int8 w6 -> "
    "y = com.microsoft.QAttention <num_heads = 2> (x, w, w2, w3_scale, w4_scale, m, w5, w6)",
    "float[N,2,3] x, float[4,3] w -> y = com.microsoft.FusedMatMul <transB = 1, alpha = 0.5> (x, w)",
    "float[N,3,2] x, float[N,3,2] b -> y = com.microsoft.FusedMatMul <transA = 1> (x, b)",
    "float[N,2,3] x, float[4,3] w -> y = com.microsoft.TransposeMatMul <transB = 1> (x, w)",
    'float[N,3] x, float[3,2] w, float[2] w2 -> y = com.microsoft.FusedGemm <activation = "Relu"> (x, w, w2)',
    'float[N,2,5,5] x, float[3,2,2,2] w, float[3] w2, float[N,3,4,4] z -> '
    'y = com.microsoft.FusedConv <activation = "Relu"> (x, w, w2, z)',
    *each("float[N,16] x, uint8[4,1,8] w, float[4] w_scale -> y = com.microsoft.MatMulNBits "
           "<K = 16, N = 4, bits = 4, block_size = 16, accuracy_level = $a> (x, w, w_scale)", a=(0, 4)),
    "float[N,3,3] x -> y = com.microsoft.Inverse (x)",
    'float[N,3] x, float[5,3] w -> y = com.microsoft.CDist <metric = "sqeuclidean"> (x, w)',
    "float[N,1,4,4] x, float[N,3,3,2] g -> y = com.microsoft.GridSample (x, g)",
    "float[N,3,3] x -> y = com.microsoft.Trilu (x)",
)  # fmt: skip
QUANTIZED = (
    *each(f"uint8[N,4] x, {_Q} -> y = com.microsoft.$op (x, w1_scale, w2, w3_scale, w4)",
           op=("QLinearSigmoid", "QLinearLeakyRelu")),
    *each(f"uint8[N,4] x, uint8[N,4] b, {_Q} -> "
           "y = com.microsoft.$op (x, w1_scale, w2, b, w3_scale, w4, w1_scale, w2)", op=("QLinearAdd", "QLinearMul")),
    f"bool[N,4] c, uint8[N,4] x, uint8[N,4] b, {_Q} -> "
    "y = com.microsoft.QLinearWhere (c, x, w1_scale, w2, b, w3_scale, w4, w1_scale, w2)",
    f"uint8[N,4] x, uint8[N,2] b, {_Q} -> y = com.microsoft.QLinearConcat <axis = 1> "
    "(w1_scale, w2, x, w3_scale, w4, b, w1_scale, w2)",
    *each(f"uint8[N,4] x, {_Q} -> y = com.microsoft.QLinearSoftmax <axis = $a, opset = $o> "
           "(x, w1_scale, w2, w3_scale, w4)", a=(-1, 1), o=(11, 13)),
    f"uint8[N,2,4,4] x, {_Q} -> y = com.microsoft.QLinearAveragePool <kernel_shape = [2, 2]> "
    "(x, w1_scale, w2, w3_scale, w4)",
    f"uint8[N,4,4,2] x, {_Q} -> y = com.microsoft.QLinearAveragePool <kernel_shape = [2, 2], channels_last = 1> "
    "(x, w1_scale, w2, w3_scale, w4)",
    *each(f"uint8[N,4,4,2] x, {_Q} -> y = com.microsoft.QLinearGlobalAveragePool <channels_last = $c> "
           "(x, w1_scale, w2, w3_scale, w4)", c=(0, 1)),
    "uint8[N,4,4,2] x -> y = com.microsoft.NhwcMaxPool <kernel_shape = [2, 2]> (x)",
    *each(f"uint8[N,$s] x, uint8[3,2,2,2] w, {_Q} -> y = com.microsoft.QLinearConv <channels_last = $c> "
           "(x, w1_scale, w2, w, w3_scale, w4, w1_scale, w2)", s=("2,4,4",), c=(0,)),
    f"uint8[N,4,4,2] x, uint8[3,2,2,2] w, {_Q} -> y = com.microsoft.QLinearConv <channels_last = 1> "
    "(x, w1_scale, w2, w, w3_scale, w4, w1_scale, w2)",
    f"uint8[N,3] x, uint8[3,2] w, {_Q}, int32[2] w5 -> "
    "y = com.microsoft.QGemm (x, w1_scale, w2, w, w3_scale, w4, w5, w1_scale, w2)",
    f"uint8[N,3] x, uint8[3,2] w, {_Q} -> y = com.microsoft.MatMulIntegerToFloat (x, w, w1_scale, w3_scale, w2, w4)",
    "float[N,4] x, float w_scale, uint8 w2 -> y = com.microsoft.QuantizeLinear (x, w_scale, w2)",
    "uint8[N,4] x, float w_scale, uint8 w2 -> y = com.microsoft.DequantizeLinear (x, w_scale, w2)",
)  # fmt: skip
