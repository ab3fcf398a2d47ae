"""Random views of images: drawn for every sample by itself, computed for the whole batch on its device."""
