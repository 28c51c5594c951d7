"""A BERT sentence encoder as an ONNX graph, built straight from its weights: no torch, whose wheels are gigabytes.

Inputs `input_ids` and `attention_mask` (int64, batch × sequence); output `embedding` (float32, batch × hidden): the
mean over the tokens that the mask keeps, scaled to length one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

Weights = Mapping[str, NDArray[np.float32]]

MASKED_SCORE = -1e9
# added to the score of padding before the softmax; not -inf, which makes NaN of a row that is all padding
OPSET = 17
# the first with LayerNormalization
IR_VERSION = 9


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a BERT; the defaults are MiniLM's with six layers."""

    layers: int = 6
    heads: int = 12
    hidden: int = 384
    epsilon: float = 1e-12

    @property
    def head_size(self) -> int:
        """Numbers of one attention head."""
        return self.hidden // self.heads


class _Graph:
    """Collects nodes and constants. Every method returns the name of a value."""

    def __init__(self, weights: Weights, shape: Shape) -> None:
        self.weights = weights
        self.shape = shape
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, name: str, value: ArrayLike, kind: type[np.generic]) -> str:
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value, dtype=kind), name)
        return name

    def ints(self, *values: int) -> str:
        return self.constant("ints_" + "_".join(str(value) for value in values), values, np.int64)

    def scalar(self, value: float) -> str:
        return self.constant(f"scalar_{value!r}", value, np.float32)

    def weight(self, name: str) -> str:
        return self.constant(name, self.weights[name], np.float32)

    def normalised(self, value: str, prefix: str) -> str:
        scale, bias = self.weight(f"{prefix}.weight"), self.weight(f"{prefix}.bias")
        return self.op("LayerNormalization", value, scale, bias, axis=-1, epsilon=self.shape.epsilon)

    def linear(self, value: str, prefix: str) -> str:
        matrix = self.constant(f"{prefix}.weight", self.weights[f"{prefix}.weight"].T, np.float32)
        return self.op("Add", self.op("MatMul", value, matrix), self.weight(f"{prefix}.bias"))

    def embedded(self) -> str:
        """Words plus positions; the token type is always the first, so its vector is added to the positions here."""
        positions = self.weights["embeddings.position_embeddings.weight"]
        table = self.constant(
            "positions", positions + self.weights["embeddings.token_type_embeddings.weight"][0], np.float32
        )
        length = self.op("Slice", self.op("Shape", "input_ids"), self.ints(1), self.ints(2))
        words = self.op("Gather", self.weight("embeddings.word_embeddings.weight"), "input_ids")
        summed = self.op("Add", words, self.op("Slice", table, self.ints(0), length))
        return self.normalised(summed, "embeddings.LayerNorm")

    def heads(self, value: str, order: list[int]) -> str:
        split = self.op("Reshape", value, self.ints(0, 0, self.shape.heads, self.shape.head_size))
        return self.op("Transpose", split, perm=order)

    def attended(self, value: str, mask_scores: str, prefix: str) -> str:
        query = self.heads(self.linear(value, f"{prefix}.self.query"), [0, 2, 1, 3])
        key = self.heads(self.linear(value, f"{prefix}.self.key"), [0, 2, 3, 1])
        content = self.heads(self.linear(value, f"{prefix}.self.value"), [0, 2, 1, 3])
        scores = self.op("Mul", self.op("MatMul", query, key), self.scalar(self.shape.head_size**-0.5))
        shares = self.op("Softmax", self.op("Add", scores, mask_scores), axis=-1)
        joined = self.op("Transpose", self.op("MatMul", shares, content), perm=[0, 2, 1, 3])
        flat = self.op("Reshape", joined, self.ints(0, 0, self.shape.hidden))
        summed = self.op("Add", self.linear(flat, f"{prefix}.output.dense"), value)
        return self.normalised(summed, f"{prefix}.output.LayerNorm")

    def gelu(self, value: str) -> str:
        """The exact form, by the error function: the tanh approximation is another model."""
        bell = self.op("Erf", self.op("Mul", value, self.scalar(2**-0.5)))
        return self.op("Mul", self.op("Mul", value, self.scalar(0.5)), self.op("Add", bell, self.scalar(1.0)))

    def layer(self, value: str, mask_scores: str, number: int) -> str:
        prefix = f"encoder.layer.{number}"
        value = self.attended(value, mask_scores, f"{prefix}.attention")
        inner = self.gelu(self.linear(value, f"{prefix}.intermediate.dense"))
        summed = self.op("Add", self.linear(inner, f"{prefix}.output.dense"), value)
        return self.normalised(summed, f"{prefix}.output.LayerNorm")

    def pooled(self, value: str, mask: str) -> None:
        kept = self.op("Mul", value, self.op("Unsqueeze", mask, self.ints(2)))
        total = self.op("ReduceSum", kept, self.ints(1), keepdims=0)
        mean = self.op("Div", total, self.op("ReduceSum", mask, self.ints(1), keepdims=1))
        self.nodes.append(helper.make_node("LpNormalization", [mean], ["embedding"], axis=-1, p=2))


def build_graph(weights: Weights, shape: Shape | None = None) -> onnx.ModelProto:
    """Build and check the graph.

    Parameters
    ----------
    weights
        As the model's safetensors file names them (`embeddings.…`, `encoder.layer.0.…`).
    shape
        The model's sizes.
    """
    shape = shape or Shape()
    graph = _Graph(weights, shape)
    mask = graph.op("Cast", "attention_mask", to=TensorProto.FLOAT)
    dropped = graph.op("Mul", graph.op("Sub", graph.scalar(1.0), mask), graph.scalar(MASKED_SCORE))
    mask_scores = graph.op("Unsqueeze", dropped, graph.ints(1, 2))
    value = graph.embedded()
    for number in range(shape.layers):
        value = graph.layer(value, mask_scores, number)
    graph.pooled(value, mask)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", shape.hidden])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "sentence_encoder", inputs, [output], list(graph.constants.values())),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model)
    return model
