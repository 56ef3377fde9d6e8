"""How the datasets get onto the disk: addresses, downloads, archives, checks. Nothing of it decides what an image is.

Apart from adapt/data, which the stages depend on as a whole: a new mirror must not train everything again.
"""
