"""Where the strategies of this package are: text only, so that a misspelled name is known before anything is loaded."""

from __future__ import annotations

from importlib.metadata import entry_points

__all__ = ["BUILT_IN", "ENTRY_POINT_GROUP", "all_names"]

BUILT_IN = {
    "bcp": "delineate.strategies.bcp.strategy:BidirectionalCopyPaste",
    "cps": "delineate.strategies.cps.strategy:CrossPseudoSupervision",
    "entropy": "delineate.strategies.entropy.strategy:EntropyMinimization",
    "fixmatch": "delineate.strategies.fixmatch.strategy:FixMatch",
    "lagrange": "delineate.strategies.lagrange.strategy:LagrangeDuality",
    "mean-teacher": "delineate.strategies.mean_teacher.strategy:MeanTeacher",
    "scale-consistency": "delineate.strategies.scale_consistency.strategy:ScaleConsistency",
    "supervised": "delineate.strategies.supervised.strategy:Supervised",
    "ua-mt": "delineate.strategies.ua_mt.strategy:UncertaintyAwareMeanTeacher",
    "unimatch": "delineate.strategies.unimatch.strategy:UniMatch",
}
ENTRY_POINT_GROUP = "delineate.strategies"


def all_names() -> list[str]:
    """Names of all strategies, also of those that other packages bring."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})
