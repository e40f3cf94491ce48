"""One page of the OpenAPI description: operations, schemas, examples to copy; it loads nothing from elsewhere."""

import base64
import hashlib
from typing import Any, Final

import orjson

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; } summary b { display: inline-block; min-width: 4.5rem; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { background: var(--soft); padding: .6rem; overflow-x: auto; border-radius: 4px; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top;
  border-top: 1px solid var(--line); padding: .25rem .5rem .25rem 0; }
"""

_SCRIPT: Final = """
"use strict";
const api = JSON.parse(document.getElementById("api").textContent);
const make = (tag, text, ...inside) => {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  element.append(...inside);
  return element;
};
const named = (schema) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const choices = schema.anyOf || schema.oneOf;
  if (choices) return choices.map(named).join(" or ");
  if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return "list of " + named(schema.items || (schema.prefixItems || [])[0]);
  return (schema.format || schema.type || "any") + limits(schema);
};
const limits = (schema) => {
  const words = {minimum: ">= ", exclusiveMinimum: "> ", maximum: "<= ", exclusiveMaximum: "< ",
    minLength: "length >= ", maxLength: "length <= "};
  const found = Object.keys(words).filter((word) => word in schema).map((word) => words[word] + schema[word]);
  return found.length ? " (" + found.join(", ") + ")" : "";
};
const row = (name, kind, text) =>
  make("tr", "", make("td", "", make("code", name)), make("td", kind), make("td", text));
const fields = (schema) => {
  const required = new Set(schema.required || []);
  const rows = Object.entries(schema.properties || {}).map(([name, each]) =>
    row(name + (required.has(name) ? "" : "?"), named(each), each.description || ""));
  return make("table", "", ...rows);
};
const quoted = (text) => "'" + text.replaceAll("'", "'\\\\''") + "'";
const curl = (method, path, operation) => {
  const given = operation.parameters || [];
  let address = location.origin + path, query = [];
  for (const each of given) {
    if (each.in === "path") address = address.replace("{" + each.name + "}", encodeURIComponent(each.example));
    else if (typeof each.example === "object") query.push(new URLSearchParams(each.example).toString());
    else query.push(each.name + "=" + encodeURIComponent(each.example));
  }
  const parts = ["curl", "-X", method.toUpperCase(), quoted(address + (query.length ? "?" + query.join("&") : ""))];
  if (operation.security.length) parts.push("-H", '"X-API-Key: $RECSYS_KEY"');
  const body = operation.requestBody && operation.requestBody.content["application/json"].example;
  if (body) parts.push("-H", "'Content-Type: application/json'", "-d", quoted(JSON.stringify(body)));
  return parts.join(" ");
};
const copied = (text) => {
  const button = make("button", "copy as curl");
  button.onclick = async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "copied";
  };
  return make("div", "", make("pre", text), button);
};
const main = document.querySelector("main");
for (const [path, methods] of Object.entries(api.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const title = make("summary", "", make("b", method.toUpperCase()), make("code", path), " ", operation.summary);
    const box = make("details", "", title, make("p", operation.description || "Needs no API key."));
    box.id = operation.operationId;
    const given = operation.parameters.map((each) =>
      row(each.name, each.in + ", " + named(each.schema), each.description));
    if (given.length) box.append(make("table", "", ...given));
    const body = operation.requestBody && operation.requestBody.content["application/json"];
    if (body) box.append(make("p", "Body: " + named(body.schema)));
    const answers = Object.entries(operation.responses).map(([status, each]) =>
      row(status, named(Object.values(each.content)[0].schema), each.description));
    box.append(copied(curl(method, path, operation)), make("table", "", ...answers));
    main.append(box);
  }
}
main.append(make("h2", "Schemas"));
for (const [name, schema] of Object.entries(api.components.schemas)) {
  main.append(make("details", "", make("summary", name), make("p", schema.description || ""), fields(schema)));
}
"""


def page_of(document: dict[str, Any]) -> bytes:  # Any: an OpenAPI document
    """Return the page of a description as HTML."""
    data = orjson.dumps(document).replace(b"<", b"\\u003c").decode()
    title = document["info"]["title"]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><h1>{title} API</h1><main></main>"
        f'<p>The description itself: <a href="openapi.json">openapi.json</a></p>'
        f'<script type="application/json" id="api">{data}</script><script>{_SCRIPT}</script></body></html>'
    ).encode()


def content_security_policy() -> str:
    """Return the policy under which a browser runs the page's own script and style, and nothing else."""
    script, style = (_digest(text) for text in (_SCRIPT, _STYLE))
    return (
        f"default-src 'none'; script-src '{script}'; style-src '{style}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
