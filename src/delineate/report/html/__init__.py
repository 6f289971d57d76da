"""HTML that is safe by construction, and the document around a page."""
