"""Schedulers without their arithmetic, which the foreach and fused tiers fill in.

`base`: the frame of a step; `groups`: reading and writing rates; `lambdas`, `momentum`, `composite`: what some of them
share; the others: one base class a scheduler, in a file of its name.
"""
