"""Timing that can be trusted: workloads, the check before them, interleaved rounds, the roof, and what follows.

workloads       which tensors, as data; needs no torch      user_workload   a user's own model
bench           the plan and the run                        isolation       the same in a child, for foreign code
heat            all optimizers of one workload              entrant         one of them at work
contest         the same for what is no optimizer           averaging       averagers at work
                                                            scheduling      schedulers at work
arena           the memory that all step on                 sample          which elements the oracle judges
gate            no number for a wrong result                probe           what a step really ran
timer           interleaved rounds                          statistics      paired ratios, intervals, verdicts
device          threads, events, cold caches                roof            the memory's bandwidth
"""
