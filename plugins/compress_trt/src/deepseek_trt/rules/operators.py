"""Operators that TensorRT's ONNX parser knows, as the parser itself answers.

Recorded from `OnnxParser.supports_operator` of TensorRT-RTX 1.7; a test asks it again.
"""

from __future__ import annotations

from typing import Final

from deepseek_trt.words import words

KNOWN: Final = words(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool
    BatchNormalization BlackmanWindow Cast CastLike CausalConvWithState Ceil Celu Clip
    Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace
    DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU
    Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool
    Greater GreaterOrEqual GridSample GroupNormalization HammingWindow HannWindow
    HardSigmoid HardSwish Hardmax Identity If InstanceNormalization IsInf IsNaN LRN LSTM
    LayerNormalization LeakyRelu Less LessOrEqual LinearAttention Log LogSoftmax Loop
    LpNormalization LpPool MatMul Max MaxPool Mean MeanVarianceNormalization Min Mish Mod
    Mul Neg NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow QuantizeLinear
    RMSNormalization RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range
    Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign
    RotaryEmbedding Round STFT Scan Scatter ScatterElements ScatterND Selu Shape Shrink
    Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt
    Squeeze Sub Sum Swish Tan Tanh TensorScatter ThresholdedRelu Tile TopK Transpose Trilu
    Unsqueeze Upsample Where Xor
    """
)

ITS_OWN: Final = words(
    """
    DistCollective GroupQueryAttention ImageScaler MatMulNBits MultiHeadAttention
    ParametricSoftplus QMoE ScaledTanh SimplifiedLayerNormalization
    SkipSimplifiedLayerNormalization TRT_Attention TRT_AveragePool TRT_BlockDequantize
    TRT_BlockQuantize TRT_Conv TRT_Deconv TRT_DynamicQuantize TRT_FP4DynamicQuantize
    TRT_FP8DequantizeLinear TRT_FP8QuantizeLinear TRT_FloorDiv TRT_Gather
    TRT_INT4DequantizeLinear TRT_INT4QuantizeLinear TRT_KVCacheUpdate
    TRT_MXFP8DequantizeLinear TRT_MXFP8DynamicQuantize TRT_MXFP8QuantizeLinear TRT_MatMul
    TRT_MaxAverageBlendPool TRT_MaxPool TRT_MoE TRT_QuantizedAttention TRT_RaggedSoftmax
    TRT_Resize TRT_Scale TRT_Shuffle TRT_Slice TRT_TopK_Min
    """
)
"""Operators that are no part of ONNX and that the parser knows by name, whatever their domain."""

LACKS_PLUGIN: Final = frozenset(
    {"RoiAlign", "DeformConv", "NonZero", "LinearAttention", "CausalConvWithState"}
)
"""Known to the parser, which hands them to plugins that TensorRT-RTX does not bring."""
