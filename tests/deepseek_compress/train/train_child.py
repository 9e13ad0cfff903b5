"""A training in a process of its own, which tests kill: prints each batch.

python train_child.py CHECKPOINT
"""

import sys
import time
from pathlib import Path

import torch
from torch import nn
from train_kit import net, quick, trained

PAUSE_S = 0.02  # between batches, so that a signal finds one


def main(checkpoint):
    def told(done, of, text):
        print(f"{done}/{of} {text}", flush=True)
        time.sleep(PAUSE_S)

    torch.set_num_threads(1)
    model = nn.Sequential(net(), nn.Dropout(0.1))
    options = quick(epochs=5)
    trained(model, options=options, checkpoint=checkpoint, progress=told)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
