"""An artefact → masks at native geometry."""
