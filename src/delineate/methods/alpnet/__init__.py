"""ALPNet: local prototypes beside the global one."""
