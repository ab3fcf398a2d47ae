"""What a person looks at: galleries of neighbors, sheets of images and maps of features, as PNG and HTML."""
