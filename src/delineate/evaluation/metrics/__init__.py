"""One small pure function per metric, on the masks of one class of one case; `registry` names them all."""
