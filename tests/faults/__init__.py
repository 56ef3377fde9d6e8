"""Kill the pipeline at random moments until it has died N times; what it ends with has to be what it always gives.

python -m tests.faults N SEED [override of the params ...]      (make faults N=20 seed=0)
"""
