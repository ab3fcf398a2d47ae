"""Pictures as data, and the parts that every drawing shares: text, colors, thumbnails and their origin."""
