"""The HTTP API: models behind one address, over the same planner, worker and writers as `predict`."""
