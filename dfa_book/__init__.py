"""The book: what its chapters share, and how they become a site (``dfa_book.site``)."""
