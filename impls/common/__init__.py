"""What the foreach and fused tiers share: constructors, checks and state layout, but no arithmetic.

`base`: closures, refusals, old checkpoints; the others: one base class an algorithm, in a file of its name.
"""
