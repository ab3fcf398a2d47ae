"""Sub-classes inside coarse classes: clusterings of cached features, and estimates of their number.

Each clustering is registered in the entry-point group `coarsecon.clusterings`.
"""
