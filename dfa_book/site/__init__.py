"""From notebook to site: what chapters share, executing them, building the book, and its gates."""
