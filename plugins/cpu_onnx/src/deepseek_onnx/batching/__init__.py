"""Whether a model treats the items of a batch independently: a proof from the graph alone.

Each value of a graph is followed from the inputs on: is it the same whatever the items are
(`Fixed`), does an axis carry the items one after the other (`Items`), is it made of their number
(`Size`), or may the items be mixed (`Mixed`)? A rule for each operator says how the states of its
inputs make those of its outputs. Nothing is run and nothing is guessed: an operator without a rule
proves nothing.

- `sizes`, `states`, `contents` say what is known of a value.
- `calls`, `faults`, `slices`, `rules` say what an operator makes of it; `folding` computes shapes,
  `unruled` and `trusted` are for what has no rule.
- `program`, `scope`, `bodies`, `joining`, `walk`, `deciding` go through a model.
- `proving` and `following` ask.

What is taken for granted: a symbol of the file stands for one size wherever it is written, no
axis has 10^9 entries, and fixed sizes of inputs are held by whoever feeds the model.
"""

from deepseek_onnx.batching.following import follow
from deepseek_onnx.batching.proving import PROVEN, Verdict, prove

__all__ = ["PROVEN", "Verdict", "follow", "prove"]
