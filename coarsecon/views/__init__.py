"""Random views of images: drawn per sample, computed for the batch on its device."""
