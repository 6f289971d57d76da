"""The data check: what is wrong, odd or worth knowing about a data set, and a clean copy of it."""
