"""The encoder on torch: bf16 on a card, attention by `scaled_dot_product_attention`, eager. Imported where torch is."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bench.gpu.encoder import NORM_EPSILON, WARM_WIDTHS, Shape, Vectors, padded, random_weights

WIDTHS = WARM_WIDTHS
# a batch is as wide as a multiple of this: what tensor cores take, and fewer sizes for the allocator to keep


class TorchEncoder:
    """A BERT with random weights."""

    reads_tokens = True

    def __init__(self, shape: Shape, device: str | None, seed: int) -> None:
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.loads_late = on_card = self._device.type == "cuda"
        self._type = torch.bfloat16 if on_card else torch.float32
        torch.backends.cuda.enable_cudnn_sdp(False)  # it plans anew for each shape, and batches have any
        self._shape = shape
        self._weights = {
            name: torch.from_numpy(matrix).to(self._device, self._type)
            for name, matrix in random_weights(shape, seed).items()
        }
        self._no_bias = {
            size: torch.zeros(size, device=self._device, dtype=self._type)
            for size in (shape.width, 3 * shape.width, shape.inner)
        }
        # as of a real model, whose norms and biases are read too
        self._scale = torch.ones(shape.width, device=self._device, dtype=self._type)
        self.dimensions = shape.width
        where = torch.cuda.get_device_name(self._device) if on_card else f"the CPU, {torch.get_num_threads()} threads"
        self.described = (
            f"torch {torch.__version__}, {str(self._type).removeprefix('torch.')}, SDPA, eager, {shape.layers} layers "
            f"of {shape.width}, on {where}"
        )

    def begin(self, texts: Sequence[Sequence[int]]) -> Callable[[], Vectors]:
        """Queue a batch on the card."""
        tokens, lengths = padded(texts, WIDTHS)
        tokens = tokens[:, : self._shape.positions]
        with torch.inference_mode():
            try:
                vectors = self._embed(tokens, lengths)
            except torch.OutOfMemoryError as error:
                raise MemoryError(f"{tokens.shape} tokens do not fit on {self._device}") from error
            if self._device.type != "cuda":
                found: Vectors = vectors.numpy()
                return lambda: found
            kept = torch.empty(vectors.shape, dtype=vectors.dtype, pin_memory=True)
            kept.copy_(vectors, non_blocking=True)
            done = torch.cuda.Event()
            done.record()

        def wait() -> Vectors:
            done.synchronize()
            found: Vectors = kept.numpy()
            return found

        return wait

    def _embed(self, tokens: NDArray[np.int64], lengths: NDArray[np.int64]) -> torch.Tensor:
        weights, shape, (rows, width) = self._weights, self._shape, tokens.shape
        mask = None
        if (lengths != width).any():  # without one the fastest kernels are taken
            mask = self._sent(np.arange(width) < lengths[:, None])[:, None, None, :]
        hidden = self._norm(functional.embedding(self._sent(tokens), weights["words"]) + weights["positions"][:width])
        for layer in range(shape.layers):
            qkv = self._linear(hidden, f"{layer}.qkv").view(rows, width, 3, shape.heads, -1).permute(2, 0, 3, 1, 4)
            seen = functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], attn_mask=mask)
            seen = seen.transpose(1, 2).reshape(rows, width, shape.width)
            hidden = self._norm(hidden + self._linear(seen, f"{layer}.out"))
            inner = functional.gelu(self._linear(hidden, f"{layer}.up"), approximate="tanh")
            hidden = self._norm(hidden + self._linear(inner, f"{layer}.down"))
        return functional.normalize(hidden[:, 0].float(), dim=1)

    def _sent(self, values: NDArray[np.generic]) -> torch.Tensor:
        there = torch.from_numpy(values)
        if self._device.type == "cuda":
            return there.pin_memory().to(self._device, non_blocking=True)
        return there

    def _linear(self, values: torch.Tensor, name: str) -> torch.Tensor:
        weight = self._weights[name]
        size = weight.shape[1]
        return torch.addmm(self._no_bias[size], values.flatten(0, -2), weight).view(*values.shape[:-1], size)

    def _norm(self, values: torch.Tensor) -> torch.Tensor:
        width = self._shape.width
        return functional.layer_norm(values, (width,), self._scale, self._no_bias[width], NORM_EPSILON)
