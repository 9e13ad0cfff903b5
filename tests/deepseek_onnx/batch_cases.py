"""All cases that are proven, and what is said of operators that never are."""

from batch_proven_basic import ELEMENTWISE, MOVING, POINTING, PRODUCTS, REDUCING, SHAPING
from batch_proven_networks import NORMALIZING, PICTURES, SEQUENCES
from batch_proven_others import FUSED, QUANTIZED, TABLES, TEXTS

PROVEN = (
    *ELEMENTWISE, *SHAPING, *MOVING, *POINTING, *REDUCING, *PRODUCTS, *PICTURES, *NORMALIZING,
    *SEQUENCES, *TEXTS, *TABLES, *FUSED, *QUANTIZED,
)  # fmt: skip

# Operators that the runtime has no kernel for, or only in another version.
NOT_RUN = ("= Swish", "= SwiGLU", "= com.microsoft.BiasAdd", "@3 ")

# Operators that never keep items apart.
NEVER_PROVEN = {
    ("", "DynamicQuantizeLinear"),
    ("", "EyeLike"),
    ("", "MaxRoiPool"),
    ("", "NonMaxSuppression"),
    ("", "NonZero"),
    ("", "RoiAlign"),
    ("", "StringSplit"),
    ("", "Unique"),
    ("ai.onnx.ml", "CastMap"),
    ("ai.onnx.ml", "DictVectorizer"),
    ("ai.onnx.ml", "ZipMap"),
    ("com.microsoft", "DynamicQuantizeLSTM"),
    ("com.microsoft", "DynamicQuantizeMatMul"),
}
