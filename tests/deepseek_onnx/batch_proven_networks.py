"""Cases that are proven: pictures, normalizations, sequences, attention and signals."""

# ruff: noqa: E501 - a model is a line

from batch_text import each

PICTURES = (
    *each('float[N,2,$s] x, float[3,2,$k] w, float[3] w2 -> y = Conv <auto_pad = "$p"> (x, w, w2)',
           s=("6,6",), k=("3,3",), p=("NOTSET", "VALID", "SAME_UPPER")),
    "float[N,2,W] x, float[3,2,3] w -> y = Conv <pads = [1, 1], strides = [2]> (x, w)",
    "float[N,2,7] x, float[2,3,3] w -> y = ConvTranspose <strides = [2]> (x, w)",
    'float[N,2,7] x, float[2,3,3] w -> y = ConvTranspose <strides = [2], auto_pad = "SAME_UPPER"> (x, w)',
    "float[N,2,7] x, float[2,3,3] w -> y = ConvTranspose <output_shape = [15], strides = [2]> (x, w)",
    "uint8[N,2,5,5] x, uint8[3,2,2,2] w, uint8 w2 -> y = ConvInteger (x, w, w2)",
    "uint8[N,2,5,5] x, float w1_scale, uint8 w2, uint8[3,2,2,2] w3, float w4_scale, uint8 w5, "
    "float w6_scale, uint8 w7 -> y = QLinearConv (x, w1_scale, w2, w3, w4_scale, w5, w6_scale, w7)",
    "@22 float[N,1,3,3] x, float[1,1,2,2] w, float[N,8,2,2] o -> y = DeformConv (x, w, o)",
    *each("float[N,2,7,7] x -> y = $op <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1], "
           "ceil_mode = $c> (x)", op=("MaxPool", "AveragePool"), c=(0, 1)),
    "float[N,2,6] x -> y = LpPool <kernel_shape = [2]> (x)",
    *each("float[N,2,4,4] x -> y = Global$op (x)", op=("AveragePool", "MaxPool", "LpPool")),
    "float[N,8,2,2] x -> y = DepthToSpace <blocksize = 2> (x)",
    "float[N,2,4,4] x -> y = SpaceToDepth <blocksize = 2> (x)",
    "float[N,8,4] x -> w1 = Constant <value = int64[2] {4, 4}> (); w2 = Constant <value = int64[2] {2, 2}> (); "
    "y = Col2Im <strides = [2, 2]> (x, w1, w2)",
    "float[N,2,4,4] x, float[N,3,3,2] g -> y = GridSample (x, g)",
    "float[N,2,3] t -> w = Constant <value = int64[3] {2, 4, 5}> (); n = Shape <end = 1> (t); "
    "s = Concat <axis = 0> (n, w); y = AffineGrid (t, s)",
    *each('float[N,2,4,4] x -> w = Constant <value = float[4] {1.0, 1.0, 2.0, 0.5}> (); '
           'y = Resize <mode = "$m", coordinate_transformation_mode = "$c"> (x, , w)',
           m=("nearest", "linear"), c=("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")),
    "float[N,2,4,4] x -> s = Shape <end = 2> (x); w = Constant <value = int64[2] {7, 3}> (); "
    'f = Concat <axis = 0> (s, w); y = Resize <mode = "linear"> (x, , , f)',
    "float[N,2,4,4] x -> w = Constant <value = int64[2] {7, 3}> (); y = Resize <axes = [2, 3]> (x, , , w)",
    "@10 float[N,2,4,4] x -> w = Constant <value = float[4] {1.0, 1.0, 2.0, 2.0}> (); y = Resize (x, w)",
    "@9 float[N,2,4,4] x -> w = Constant <value = float[4] {1.0, 1.0, 2.0, 2.0}> (); y = Upsample (x, w)",
    "@7 float[N,2,4,4] x -> y = Upsample <scales = [1.0, 1.0, 2.0, 2.0]> (x)",
)  # fmt: skip

NORMALIZING = (
    "float[N,4,3] x, float[3] w, float[3] w2 -> y = LayerNormalization (x, w, w2)",
    "float[N,4,3] x, float[4,3] w -> y1, y2, y3 = LayerNormalization <axis = 1> (x, w)",
    "@24 float[N,4,3] x, float[3] w -> y = RMSNormalization (x, w)",
    "float[N,4,3] x, float[3] w -> y = SimplifiedLayerNormalization <axis = -1, epsilon = 0.00001> (x, w)",
    "float[N,4,3] x, float[4] w -> y = InstanceNormalization (x, w, w)",
    "@21 float[N,4,3] x, float[4] w -> y = GroupNormalization <num_groups = 2> (x, w, w)",
    "float[N,4] x -> y = LpNormalization (x)",
    "float[N,2,3,3] x -> y = MeanVarianceNormalization <axes = [2, 3]> (x)",
    "float[N,4,3,3] x -> y = LRN <size = 3> (x)",
    "float[N,4] x, float w_scale, uint8 w2 -> y = QuantizeLinear (x, w_scale, w2)",
    "float[N,4] x, float[4] w_scale, uint8[4] w2 -> y = QuantizeLinear (x, w_scale, w2)",
    "uint8[N,4] x, float[1] w_scale, uint8[1] w2 -> y = DequantizeLinear (x, w_scale, w2)",
    "uint8[N,4] x, float[4] w_scale, uint8[4] w2 -> y = DequantizeLinear <axis = -1> (x, w_scale, w2)",
    "float[N,4] x, float[N,2] s_scale -> y = QuantizeLinear <axis = 1, block_size = 2> (x, s_scale)",
)  # fmt: skip

SEQUENCES = (
    *each("float[T,N,3] x, float[1,$g,3] w, float[1,$g,2] w2 -> y1, y2 = $op <hidden_size = 2> (x, w, w2)",
           op=("RNN",), g=(2,)),
    *each("float[T,N,3] x, float[2,$g,3] w, float[2,$g,2] w2, float[2,$b] w3, int32[N] l, float[2,N,2] h -> "
           'l1 = Abs (l); o = Constant <value = int32[1] {1}> (); l2 = Add (l1, o); '
           'y1, y2 = $op <hidden_size = 2, direction = "bidirectional"> (x, w, w2, w3, l2, h)',
           op=("GRU",), g=(6,), b=(12,)),
    "float[T,N,3] x, float[1,8,3] w, float[1,8,2] w2, float[1,N,2] h, float[1,N,2] c, float[1,6] w3 -> "
    "y1, y2, y3 = LSTM <hidden_size = 2> (x, w, w2, , , h, c, w3)",
    # A first state of zeros, as many as there are items.
    "float[T,N,3] x, float[1,8,3] w, float[1,8,2] w2 -> n = Shape <start = 1, end = 2> (x); "
    "o = Constant <value = int64[1] {1}> (); t = Constant <value = int64[1] {2}> (); "
    "s = Concat <axis = 0> (o, n, t); h = ConstantOfShape (s); "
    "y1, y2, y3 = LSTM <hidden_size = 2> (x, w, w2, , , h, h)",
    "@23 float[N,2,T,4] q, float[N,2,S,4] k, float[N,2,S,4] v -> y = Attention (q, k, v)",
    "@23 float[N,T,8] q, float[N,S,8] k, float[N,S,8] v, float[T,S] w -> "
    "y = Attention <q_num_heads = 2, kv_num_heads = 2> (q, k, v, w)",
    "@23 float[N,2,T,4] q, float[N,2,S,4] k, float[N,2,S,4] v, bool[N,1,T,S] m -> y = Attention (q, k, v, m)",
    "@23 float[N,2,T,4] q, float[N,2,S,4] k, float[N,2,S,4] v, float[N,2,P,4] pk, float[N,2,P,4] pv -> "
    "y1, y2, y3 = Attention <is_causal = 1> (q, k, v, , pk, pv)",
    "@23 float[N,2,T,4] x, float[6,2] w, float[6,2] w2, int64[N,T] i -> y = RotaryEmbedding (x, w, w2, i)",
    "@23 float[N,2,T,4] x, float[N,T,2] c, float[N,T,2] s -> y = RotaryEmbedding (x, c, s)",
    "@27 float[N,T,4] q, float[N,T,4] k, float[N,T,4] v -> "
    'y1, y2 = LinearAttention <q_num_heads = 2, kv_num_heads = 2, update_rule = "linear"> (q, k, v)',
    "@27 float[N,3,T] x, float[3,1,3] w, float[3] w2, float[N,3,2] p -> "
    "y1, y2 = CausalConvWithState (x, w, w2, p)",
    "@17 float[N,8,1] x -> y = DFT <axis = 1> (x)",
    "float[N,8,1] x -> w = Constant <value = int64 {1}> (); y = DFT <onesided = 1> (x, , w)",
    *each("float[N,4] x -> w = Constant <value = int64 {4}> (); h = $op (w); y = Mul (x, h)",
           op=("HannWindow", "HammingWindow", "BlackmanWindow")),
    "float[N,5] x -> b = Constant <value = int64 {4}> (); d = Constant <value = int64 {8}> (); "
    "r = Constant <value = int64 {8000}> (); l = Constant <value = float {20.0}> (); "
    "u = Constant <value = float {4000.0}> (); m = MelWeightMatrix (b, d, r, l, u); y = MatMul (x, m)",
    "float[N,16,1] x, float[4] w -> f = Constant <value = int64 {2}> (); y = STFT (x, f, w)",
)  # fmt: skip
