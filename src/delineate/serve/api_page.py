"""The description of the API as a page for people, made of the OpenAPI document; nothing comes from elsewhere."""

from __future__ import annotations

from typing import Any

from delineate.report.html.elements import Html, element, join

__all__ = ["API_STYLE", "api_page"]

API_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
:root{color-scheme:light dark}
code{font:14px ui-monospace,monospace}
h2{margin-top:2.5rem;border-top:1px solid #8886;padding-top:1rem}
h2 code{font-size:1.2rem}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #8884}
"""
"""Of the page, at an address of its own: the content security policy allows none inside."""


def api_page(described: dict[str, Any], style: str) -> str:
    """HTML of an OpenAPI document.

    Args:
        described: The document.
        style: Address of the style.

    Returns:
        A whole page.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width"),
        element("title", f"{described['info']['title']}: the API"),
        element("link", rel="stylesheet", href=style),
    )
    told = element("p", described["info"]["description"])
    where = element("p", "For programs: ", element("a", element("code", "/openapi.json"), href="/openapi.json"))
    parts = [
        _operation(path, method, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    body = element("body", element("h1", "The API of this server"), told, where, *parts)
    return "<!DOCTYPE html>\n" + element("html", head, body, lang="en")


def _operation(path: str, method: str, operation: dict[str, Any]) -> Html:
    words = [element("p", text) for text in operation.get("description", "").split("\n\n") if text.strip()]
    rows = [_row(one) for one in operation.get("parameters", ())]
    if body := operation.get("requestBody"):
        words.append(
            element("p", element("b", "Body: "), body.get("description", ""), f" ({', '.join(body['content'])})")
        )
    table = element("table", *rows) if rows else Html("")
    return join(element("h2", element("code", f"{method.upper()} {path}")), *words, table)


def _row(parameter: dict[str, Any]) -> Html:
    schema = parameter["schema"]
    kinds = [schema, *schema.get("anyOf", ())]
    choices = next((one["enum"] for one in kinds if "enum" in one), None)
    told = parameter.get("description") or schema.get("description") or ""
    values = "" if choices is None else f"One of {', '.join(choices)}. "
    need = "needed" if parameter.get("required") else ""
    return element(
        "tr", element("th", element("code", parameter["name"])), element("td", need), element("td", values + told)
    )
