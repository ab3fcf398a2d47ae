"""Pictures as data, and shared drawing code: text, colors, thumbnails and the origin of a figure."""
