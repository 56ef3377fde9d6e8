"""Kill the pipeline at random moments until it has died N times.

    python -m tests.faults N SEED [override of the params ...]      (make faults N=20 seed=0)

The results have to be those of an undisturbed run.
"""
