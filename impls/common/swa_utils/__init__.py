"""What the foreach and fused tiers share of torch.optim.swa_utils.

`swalr`: SWALR without its arithmetic; `update_bn`: statistics of batch normalisation, which torch's modules compute.
"""
