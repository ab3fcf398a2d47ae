"""Local server with a page to search the images of a run."""
