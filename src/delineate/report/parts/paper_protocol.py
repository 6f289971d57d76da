"""A paper's protocol: its table with the label that stands wherever its numbers do."""

from __future__ import annotations

from delineate.data.core.findings import count
from delineate.evaluation.results.protocols import find_protocol
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.report.html.document import notice
from delineate.report.html.elements import Html, element, facts, join, number, table

__all__ = ["protocol_part", "score_titles"]


def protocol_part(scores_file: ScoresFile) -> Html | None:
    """Its scores per class and over the classes; nothing for the native protocol."""
    content = scores_file.content.get("protocol_scores")
    if not content:
        return None
    names, titles = list(content["macro"]), score_titles(scores_file)
    rows = [[name, *(number(numbers.get(score)) for score in names)] for name, numbers in content["classes"].items()]
    if len(rows) > 1:
        rows.append(["mean of classes", *(number(content["macro"][score]) for score in names)])
    how = {"Masks": content["prepared"], "Averaged": content["averaged"], "Empty masks": content["empty"]}
    words = f"These figures follow the {content['label']}. Compare them only with figures of papers that compute in this way."
    return join(
        notice([words], "Not the native protocol"),
        table(["Class", *(titles[score] for score in names)], rows, caption=count(content["cases"], "case")),
        element("h3", "How these papers compute"),
        facts(how),
    )


def score_titles(scores_file: ScoresFile) -> dict[str, str]:
    """Score name → its title in those papers; empty for the native protocol."""
    protocol = find_protocol(scores_file.origin.protocol)
    return {} if protocol is None else dict(protocol.scores)
