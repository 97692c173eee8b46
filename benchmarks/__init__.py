"""Whole-process costs, each beside its peer in the same run, as ratios.

Milliseconds of a shared machine say little; the ratio of two programs that ran in turn says much. Figures are
medians of the CPU time (user + system) of whole processes, their peak memory, and the bytes read of the image.
"""
