"""IPSL: prototypes of support and query that inform each other, and a query that then learns from itself."""
