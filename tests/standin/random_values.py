"""Random numbers of the stand-ins: the package's own."""

from pulid_sdcpp.tensors.random_values import normal, random_bytes

__all__ = ["normal", "random_bytes"]
