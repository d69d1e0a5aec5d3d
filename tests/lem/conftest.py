"""The tests of the library run on one CPU thread, as training does: its bits and its speed are those of use."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
