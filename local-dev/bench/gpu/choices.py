"""Which encoder to run, as arguments say it."""

import argparse
from collections.abc import Sequence
from typing import Final

from bench.gpu.encoder import SHAPES, Encoder, NumpyEncoder, Shape, SimulatedEncoder, torch_encoder

ENCODERS: Final = ("torch", "numpy", "simulated")
SIMULATED_BATCH_MS: Final = 4.0
SIMULATED_TOKEN_US: Final = 1.6
# a guess at such a card, to rehearse with: 604 MFLOP a token at half of 790 TFLOP/s, and the start of some 300 kernels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose an encoder."""
    parser.add_argument("--encoder", choices=ENCODERS, default="torch")
    parser.add_argument("--shape", choices=SHAPES, default="bge-large", help="tiny is for rehearsals on a CPU")
    parser.add_argument("--device", default=None, help="torch's name of it; the first card, or else the CPU")
    parser.add_argument("--batch-ms", type=float, default=SIMULATED_BATCH_MS, help="of a simulated batch")
    parser.add_argument("--token-us", type=float, default=SIMULATED_TOKEN_US, help="of each simulated token")


def passed_on(arguments: argparse.Namespace) -> Sequence[str]:
    """Return the arguments that choose the same encoder in another process."""
    chosen = ["--encoder", arguments.encoder, "--shape", arguments.shape]
    chosen += ["--batch-ms", str(arguments.batch_ms), "--token-us", str(arguments.token_us)]
    return chosen if arguments.device is None else [*chosen, "--device", arguments.device]


def chosen_shape(arguments: argparse.Namespace) -> Shape:
    """Return the shape."""
    return SHAPES[arguments.shape]


def chosen_encoder(arguments: argparse.Namespace) -> Encoder:
    """Make the encoder.

    Raises
    ------
    TorchMissingError
        If it needs torch, and there is none.
    """
    shape = chosen_shape(arguments)
    if arguments.encoder == "simulated":
        return SimulatedEncoder(shape.width, arguments.batch_ms / 1e3, arguments.token_us / 1e6)
    if arguments.encoder == "numpy":
        return NumpyEncoder(shape)
    made: Encoder = torch_encoder(shape, arguments.device)
    return made
