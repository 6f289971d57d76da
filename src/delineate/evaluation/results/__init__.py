"""From masks to scores, tables and files."""
