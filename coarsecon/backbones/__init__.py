"""Compare backbones on the images of a dataset: write each as a run, evaluate it, and rank them."""
