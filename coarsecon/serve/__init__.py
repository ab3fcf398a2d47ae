"""A local page to search a run's images with: the server behind `coarsecon serve`."""
