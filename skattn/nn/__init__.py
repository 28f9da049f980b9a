"""The network and its parts, in torch alone: each file ends in the dictionary that an estimator's parameter reads."""

from skattn.nn.activation import ACTIVATIONS, Activation
from skattn.nn.attention import ATTENTIONS, Attention
from skattn.nn.encoder import ENCODERS
from skattn.nn.ensemble import Ensemble
from skattn.nn.head import HEADS, LOSSES
from skattn.nn.network import AttentionLSTM
from skattn.nn.normalization import NORMALIZATIONS, Normalization

__all__ = [
    "ACTIVATIONS",
    "ATTENTIONS",
    "ENCODERS",
    "HEADS",
    "LOSSES",
    "NORMALIZATIONS",
    "Activation",
    "Attention",
    "AttentionLSTM",
    "Ensemble",
    "Normalization",
]
