"""update_bn: statistics of batch normalisation for averaged weights, which torch's modules compute."""

from ...common.swa_utils.update_bn import update_bn

__all__ = ["update_bn"]
