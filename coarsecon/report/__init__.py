"""What a person looks at: galleries of neighbours, sheets of images and maps of features, as PNG and HTML."""
