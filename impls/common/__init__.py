"""What the foreach and fused tiers share: constructors, checks and state layout, but no arithmetic.

`base`: closures, refusals; `adam`, `adamw`, `sgd`: one base class an algorithm.
"""
