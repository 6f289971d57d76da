"""The selective scan of state-space models (S6), on any machine.

    Δ_t = softplus(δ_t + bias),   h_t = exp(Δ_t A) h_{t−1} + Δ_t u_t B_t,   y_t = C_t · h_t + D u_t

`selective_scan` is the one function to call; it finds the form (`BACKENDS`) that suits device and shapes.
"""

from delineate.nn.selective_scan.interface import BACKENDS, Backend, selective_scan

__all__ = ["BACKENDS", "Backend", "selective_scan"]
