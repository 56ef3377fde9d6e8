"""ADAPT: adaptive prompt tuning for vision-language models, as a library and a DVC pipeline."""
