"""IPSL: interacting prototypes of support and query, and a query that then learns from itself."""
