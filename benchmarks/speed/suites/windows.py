"""Cutting series into windows, and gathering batches of them."""

import numpy as np

from skattn.preprocessing import SlidingWindow
from skattn.windows import cut


class Windows:
    params = [[10_000, 1_000_000], [1, 7]]
    param_names = ["steps", "channels"]

    def setup(self, steps, channels):
        self.series = np.random.default_rng(0).normal(size=(steps, channels)).astype(np.float32)
        self.windows = cut(self.series, 96, 24)
        self.order = np.random.default_rng(0).permutation(len(self.windows))[:256]

    def time_cut(self, steps, channels):
        cut(self.series, 96, 24)

    def time_batch(self, steps, channels):
        self.windows.__getitems__(self.order)

    def time_sliding_window(self, steps, channels):
        SlidingWindow(96).fit_transform(self.series)

    def peakmem_cut(self, steps, channels):
        cut(self.series, 96, 24)
