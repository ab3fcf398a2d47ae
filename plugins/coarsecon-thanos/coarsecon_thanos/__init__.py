"""A plugin of coarsecon: SupCon on coarse labels with class-conditional InfoNCE."""
