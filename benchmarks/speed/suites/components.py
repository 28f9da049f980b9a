"""Forward and backward through the parts of a network."""

import torch

from skattn.nn import ATTENTIONS, ENCODERS, AttentionLSTM


class _Step:
    """A step of training of a batch of 32 windows of 96 steps."""

    def setup(self, choice):
        torch.set_num_threads(1)
        self.network = AttentionLSTM(96, 7, horizon=24, n_targets=7, autoregressive=True, **self.config(choice))
        self.past, self.ahead = torch.randn(32, 96, 7), torch.randn(32, 24, 7)
        self.network.eval()

    def time_forward(self, choice):
        with torch.inference_mode():
            self.network(self.past)

    def time_step(self, choice):
        self.network.loss(self.network(self.past), self.ahead).mean().backward()


class Attention(_Step):
    params = [[*ATTENTIONS, None]]
    param_names = ["attention"]

    def config(self, choice):
        return {"attention": choice, "attention_position": "both"}


class Encoder(_Step):
    params = [list(ENCODERS)]
    param_names = ["encoder"]

    def config(self, choice):
        return {"encoder": choice}
