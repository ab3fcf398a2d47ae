"""From original files to prepared datasets, and from those to batches on the device."""
