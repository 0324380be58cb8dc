"""The network of three layers that all of PuLID's encoders map what they see with."""

from __future__ import annotations

from .graph import GraphBuilder
from .part import NetworkPart

__all__ = ["ENCODER_NORM_EPS", "mapping_part"]

ENCODER_NORM_EPS = 1e-5
_SLOPE = 0.01


def mapping_part(inside: int, hidden: int, outside: int) -> NetworkPart:
    """`layers.mapping_network`: (n, inside) "x" -> (n, outside), its weights named from ".0" on."""

    def write(graph: GraphBuilder) -> None:
        x = graph.input("x", ["n", inside])
        for layer, before in ((0, inside), (3, hidden)):
            x = graph.linear(x, str(layer), before, hidden)
            x = graph.layer_norm(x, str(layer + 1), hidden, ENCODER_NORM_EPS)
            x = graph.op("LeakyRelu", x, alpha=_SLOPE)
        graph.output(graph.linear(x, "6", hidden, outside))

    return NetworkPart(write)
