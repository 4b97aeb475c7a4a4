// The /docs page. It reads openapi.json once and readyz every two seconds, and builds everything with DOM nodes: no text
// from the application or a client ever becomes markup.

const POLL_MS = 2000;
const state = { api: null, health: null, position: 0 };
const $ = (id) => document.getElementById(id);

// --- building ---

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child != null && child !== ""));
  return node;
}

const sheet = (title, ...inside) => make("section", { class: "sheet" }, make("h2", {}, title), ...inside);
const pill = (text, kind = "") => make("span", { class: `pill ${kind}` }, text);
const code = (text) => make("code", {}, text);
const commas = (nodes) => nodes.flatMap((node, index) => (index ? [", ", node] : [node]));
const prose = (text) => (text ?? "").split(/`([^`]+)`/).map((part, index) => (index % 2 ? code(part) : part));
const count = (number) => Number(number).toLocaleString("en");

function table(heads, rows) {
  const head = heads.map((each) => make("th", { scope: "col", class: each.startsWith("#") ? "number" : null }, each.replace("#", "")));
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, head)), make("tbody", {}, rows)));
}

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|\b(true|false|null)\b/g;

function coloured(json) {
  const nodes = [];
  let end = 0;
  for (const found of json.matchAll(TOKEN)) {
    const kind = found[1] ? (found[2] ? "key" : "string") : found[3] ? "number-value" : "word";
    nodes.push(json.slice(end, found.index), make("span", { class: kind }, found[1] ?? found[0]), found[2] ?? "");
    end = found.index + found[0].length;
  }
  return make("pre", { tabindex: "0" }, nodes, json.slice(end));
}

function body(text) {
  try {
    return coloured(JSON.stringify(JSON.parse(text), null, 2));
  } catch {
    return make("pre", { tabindex: "0" }, text);
  }
}

// --- the application, as openapi.json tells it ---

function items() {
  const found = { command: [], query: [], model: [] };
  for (const [path, methods] of Object.entries(state.api.paths)) {
    if (path.startsWith("/commands/")) found.command.push({ kind: "command", name: methods.post.operationId, path, ...methods.post });
    if (path.startsWith("/queries/")) found.query.push({ kind: "query", name: methods.get.operationId, path, ...methods.get, byPost: methods.post });
  }
  found.model = state.api["x-read-models"].map((each) => ({ kind: "model", ...each }));
  return found;
}

const link = (kind, name) => make("a", { href: `#/${kind}/${encodeURIComponent(name)}` }, name);
const resolved = (schema) => (schema?.$ref ? state.api.components.schemas[schema.$ref.split("/").pop()] : schema) ?? {};

function typeText(schema) {
  if (!schema) return "any";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(" | ");
  if ("const" in schema) return JSON.stringify(schema.const);
  const options = schema.anyOf ?? schema.oneOf;
  if (options?.[0]?.format === "decimal") return "decimal";
  if (options) return [...new Set(options.map(typeText))].join(" | ");
  if (schema.type === "array") return schema.items ? `list of ${typeText(schema.items)}` : "list";
  return schema.format && schema.type === "string" ? schema.format : schema.type ?? "any";
}

function limits(schema) {
  const plain = schema.anyOf?.find((each) => each.type !== "null") ?? schema;
  const about = [];
  const bounded = (low, high, unit) => {
    if (low != null && high != null) about.push(`${count(low)} to ${count(high)}${unit}`);
    else if (low != null) about.push(`at least ${count(low)}${unit}`);
    else if (high != null) about.push(`at most ${count(high)}${unit}`);
  };
  bounded(plain.minLength, plain.maxLength, " characters");
  bounded(plain.minItems, plain.maxItems, " items");
  if (Math.abs(plain.maximum ?? 0) < 2 ** 53 && Math.abs(plain.minimum ?? 0) < 2 ** 53) bounded(plain.minimum, plain.maximum, "");
  if (plain.pattern && plain.format !== "decimal") about.push(`pattern ${plain.pattern}`);
  if (schema.default !== undefined) about.push(`default ${JSON.stringify(schema.default)}`);
  return about.join("; ");
}

function fieldRows(schema, prefix = "", depth = 0) {
  const { properties = {}, required = [] } = resolved(schema);
  return Object.entries(properties).flatMap(([name, each]) => {
    const inner = each.items?.$ref ? each.items : each.$ref ? each : null;
    const row = make("tr", {},
      make("th", { scope: "row" }, code(prefix + name)),
      make("td", {}, typeText(each)),
      make("td", {}, required.includes(name) ? "required" : make("span", { class: "quiet" }, "optional")),
      make("td", { class: "quiet" }, [each.description, limits(each)].filter(Boolean).join(". ")));
    const nested = inner && resolved(inner).properties && depth < 3 ? fieldRows(inner, `${prefix}${name}${each.items ? "[]" : ""}.`, depth + 1) : [];
    return [row, ...nested];
  });
}

const fields = (title, schema) => {
  const rows = fieldRows(schema);
  return sheet(title, rows.length ? table(["Field", "Type", "", "Meaning"], rows) : make("p", { class: "inside quiet" }, "It has no fields."));
};

function errors(responses) {
  const rows = Object.entries(responses).filter(([status]) => status >= 400).map(([status, reference]) => {
    const each = reference.$ref ? state.api.components.responses[reference.$ref.split("/").pop()] : reference;
    const [text, codes = ""] = each.description.split(" Codes: ");
    return make("tr", {}, make("th", { scope: "row" }, status), make("td", {}, prose(text)), make("td", {}, commas(codes.split(", ").map(code))));
  });
  return sheet("Errors", table(["Status", "Meaning", "Codes"], rows));
}

// --- health ---

const stateKind = (text) => ({ running: "good", ready: "good", degraded: "warn", rebuilding: "warn", paused: "warn" })[text] ?? "bad";
const healthOf = (name) => state.health?.read_models?.find((each) => each.name === name);

async function lookAtHealth() {
  if (document.hidden) return;
  try {
    state.health = await (await fetch("readyz", { cache: "no-store" })).json();
  } catch {
    state.health = { status: "unreachable", reasons: ["the service does not answer"], read_models: [] };
  }
  const { status, reasons, read_models: models = [] } = state.health;
  $("status").textContent = status;
  $("status").className = `pill ${stateKind(status)}`;
  $("status").title = (reasons ?? []).join("; ");
  $("head").textContent = models.length ? `position ${count(models[0].head)}` : "";
  for (const node of document.querySelectorAll("[data-model]")) showHealth(node);
}

function showHealth(node) {
  const found = healthOf(node.dataset.model);
  if (!found) return;
  const shown = { state: found.state, lag: count(found.lag_events), checkpoint: count(found.checkpoint), error: found.error ?? "" };
  node.textContent = shown[node.dataset.what];
  if (node.dataset.what === "state") node.className = `pill ${stateKind(found.state)}`;
  node.hidden = !node.textContent;
}

function live(name, what, tag = "span", attributes = {}) {
  const node = make(tag, { "data-model": name, "data-what": what, ...attributes }, "…");
  showHealth(node);
  return node;
}

// --- trying ---

function shownAnswer(place, response, text, millis) {
  const kind = response.ok ? "good" : response.status < 500 ? "warn" : "bad";
  const headers = [...response.headers].flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]);
  place.replaceChildren(
    make("div", { class: "facts" }, pill(`${response.status} ${response.statusText}`, kind), make("span", { class: "quiet" }, `${millis.toFixed(1)} ms`)),
    make("dl", { class: "headers" }, headers),
    body(text));
}

async function send(place, button, request) {
  const { path, ...options } = request();
  button.disabled = true;
  const started = performance.now();
  try {
    const response = await fetch(path, { cache: "no-store", ...options });
    const text = await response.text();
    shownAnswer(place, response, text, performance.now() - started);
    if (options.method === "POST" && path.startsWith("commands/") && response.ok) {
      state.position = Math.max(state.position, Number(response.headers.get("twofold-position")));
      lookAtHealth();
    }
  } catch (error) {
    place.replaceChildren(make("p", { class: "problem" }, `No answer: ${error.message}`));
  } finally {
    button.disabled = false;
  }
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function asCurl({ path, method, headers = {}, body: text }) {
  const parts = ["curl", "-i", quoted(new URL(path, document.baseURI).href)];
  if (method === "POST") parts.push("-X", "POST");
  for (const [name, value] of Object.entries(headers)) parts.push("-H", quoted(`${name}: ${value}`));
  if (text !== undefined) parts.push("-d", quoted(text));
  return parts.join(" ");
}

function field(id, label, note, attributes = {}) {
  const input = make("input", { type: "text", id, autocomplete: "off", spellcheck: "false", ...attributes });
  return [input, make("label", { for: id }, label, note ? make("span", { class: "quiet" }, `  ${note}`) : null), input];
}

function tried(title, inputs, request) {
  const answer = make("output", { class: "inside", "aria-live": "polite" }, make("p", { class: "quiet" }, "Nothing was sent yet."));
  const button = make("button", { class: "main", type: "submit" }, "Send");
  const copied = make("button", { type: "button", onclick: async () => {
    await navigator.clipboard?.writeText(asCurl(request()));
    copied.textContent = "Copied";
    setTimeout(() => { copied.textContent = "Copy as curl"; }, 1500);
  } }, "Copy as curl");
  const form = make("form", { class: "inside", onsubmit: (event) => { event.preventDefault(); send(answer, button, request); } },
    inputs, make("div", { class: "actions" }, button, copied, make("kbd", {}, "Ctrl Enter")));
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  return make("div", { class: "pair" }, sheet(title, form), sheet("Answer", answer));
}

const newId = () => crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint32Array(4)), (each) => each.toString(16)).join("-");

function tryCommand(item) {
  const content = item.requestBody.content["application/json"];
  const text = JSON.stringify(content.example, null, 2);
  const area = make("textarea", { id: "body", spellcheck: "false", rows: Math.min(24, text.split("\n").length + 1) });
  area.value = text;
  const [key, ...keyNodes] = field("key", "Idempotency-Key", "the same key takes effect once");
  const [match, ...matchNodes] = field("match", "If-Match", "the version that you saw, in quotes", { placeholder: '"1"' });
  key.value = newId();
  const fresh = make("button", { type: "button", onclick: () => { key.value = newId(); } }, "New");
  const inputs = [make("label", { for: "body" }, "Body"), area, keyNodes[0], make("div", { class: "with-button" }, key, fresh), matchNodes];
  return tried("Try it", inputs, () => {
    const headers = { "Content-Type": "application/json" };
    if (key.value) headers["Idempotency-Key"] = key.value;
    if (match.value) headers["If-Match"] = match.value;
    return { path: `commands/${encodeURIComponent(item.name)}`, method: "POST", headers, body: area.value };
  });
}

function tryQuery(item) {
  const parameters = item.parameters.filter((each) => each.in === "query");
  const inputs = parameters.map((each) => {
    const schema = each.schema ?? each.content["application/json"].schema;
    const note = [typeText(schema), each.required ? "required" : limits(schema)].filter(Boolean).join(", ");
    const list = schema.type === "array";
    const [input, ...nodes] = field(`p-${each.name}`, each.name, list ? `${note}; separate with commas` : note);
    input.value = each.example === undefined ? "" : list ? each.example.join(",") : each.schema ? each.example : JSON.stringify(each.example);
    return { name: each.name, required: each.required, list, input, nodes };
  });
  const after = make("input", { type: "checkbox", id: "after", checked: state.position > 0, disabled: state.position === 0 });
  const own = make("label", { class: "check", for: "after" }, after,
    state.position ? `Reflect my last command (Twofold-After: ${state.position}, Prefer: wait=5)` : "Reflect my last command (none was sent yet)");
  const nodes = parameters.length ? inputs.map((each) => each.nodes) : make("p", { class: "quiet" }, "It has no parameters.");
  return tried("Try it", [nodes, own], () => {
    const search = new URLSearchParams();
    for (const { name, required, list, input } of inputs) {
      if (input.value || required) for (const value of list ? input.value.split(",") : [input.value]) search.append(name, value);
    }
    const headers = after.checked ? { "Twofold-After": String(state.position), Prefer: "wait=5" } : {};
    const tail = search.size ? `?${search}` : "";
    return { path: `queries/${encodeURIComponent(item.name)}${tail}`, method: "GET", headers };
  });
}

// --- views ---

const title = (method, item) => [
  make("h1", {}, item.name),
  make("p", { class: "path" }, make("span", { class: "method" }, method), ` ${item.path}`),
];

function commandView(item) {
  const events = item["x-events"];
  return [
    ...title("POST", item),
    item.description ? make("p", { class: "lead" }, prose(item.description)) : null,
    make("p", { class: "facts" }, pill(item.tags[0], "accent"),
      item["x-creates"] ? pill("opens a stream") : null,
      make("span", { class: "quiet" }, events.length ? ["makes ", ...commas(events.map(code))] : "makes no events")),
    tryCommand(item),
    make("h2", {}, "Reference"),
    fields("Fields", item.requestBody.content["application/json"].schema),
    errors(item.responses),
  ];
}

function queryView(item) {
  const answer = item.responses["200"].content["application/json"].schema;
  const row = answer.items ?? answer.anyOf?.find((each) => each.$ref) ?? answer;
  return [
    ...title("GET", item),
    item.description ? make("p", { class: "lead" }, prose(item.description)) : null,
    make("p", { class: "facts" }, make("span", { class: "quiet" }, "reads ", commas(item["x-read-models"].map((name) => link("model", name))), `, answers ${typeText(answer)}`)),
    tryQuery(item),
    make("h2", {}, "Reference"),
    fields("Parameters", item.byPost.requestBody.content["application/json"].schema),
    row.$ref ? fields(`Answer: ${typeText(answer)}`, row) : null,
    errors(item.responses),
  ];
}

function modelView(item) {
  const readers = items().query.filter((each) => each["x-read-models"].includes(item.name));
  const rows = item.fields.map((each) => make("tr", {},
    make("th", { scope: "row" }, code(each.name)),
    make("td", {}, each.kind),
    make("td", { class: "quiet" }, [
      item.key.includes(each.name) ? "key" : "",
      item.indexes.some((group) => group.includes(each.name)) ? "indexed" : "",
      item.search.includes(each.name) ? "full-text search" : "",
    ].filter(Boolean).join(", "))));
  return [
    make("h1", {}, item.name),
    item.description ? make("p", { class: "lead" }, prose(item.description)) : null,
    make("p", { class: "facts" }, live(item.name, "state", "span", { class: "pill" }),
      make("span", { class: "quiet" }, "position ", live(item.name, "checkpoint"), ", lag ", live(item.name, "lag"), " events")),
    live(item.name, "error", "p", { class: "problem", hidden: true }),
    sheet("Fields", table(["Field", "Kind", ""], rows)),
    make("p", { class: "quiet" }, "Folded from ", commas(item.events.map(code)), "."),
    readers.length ? make("p", { class: "quiet" }, "Read by ", commas(readers.map((each) => link("query", each.name))), ".") : null,
  ];
}

function overview() {
  const { command, query, model } = items();
  const text = (item) => make("td", { class: "quiet" }, prose(item.description?.split("\n")[0]));
  return [
    make("h1", {}, state.api.info.title),
    make("p", { class: "lead" }, prose(state.api.info.description.replaceAll(/\n(?!\n)/g, " "))),
    make("h2", {}, "Commands"),
    make("div", { class: "sheet" }, table(["Command", "Aggregate", "Makes", ""], command.map((each) => make("tr", { class: "link" },
      make("th", { scope: "row" }, link("command", each.name)), make("td", {}, each.tags[0]),
      make("td", {}, commas(each["x-events"].map(code))), text(each))))),
    make("h2", {}, "Queries"),
    make("div", { class: "sheet" }, table(["Query", "Answers", ""], query.map((each) => make("tr", { class: "link" },
      make("th", { scope: "row" }, link("query", each.name)),
      make("td", {}, typeText(each.responses["200"].content["application/json"].schema)), text(each))))),
    make("h2", {}, "Read models"),
    make("div", { class: "sheet" }, table(["Read model", "Key", "State", "#Position", "#Lag (events)"], model.map((each) => make("tr", { class: "link" },
      make("th", { scope: "row" }, link("model", each.name)), make("td", {}, commas(each.key.map(code))),
      make("td", {}, live(each.name, "state", "span", { class: "pill" })),
      make("td", { class: "number" }, live(each.name, "checkpoint")), make("td", { class: "number" }, live(each.name, "lag")))))),
  ];
}

function contents() {
  const wanted = $("filter").value.trim().toLowerCase();
  const found = items();
  const part = (head, list) => {
    const shown = list.filter((each) => each.name.toLowerCase().includes(wanted));
    return shown.length ? [make("h2", {}, head), make("ul", {}, shown.map((each) => make("li", {}, marked(each))))] : [];
  };
  $("contents").replaceChildren(...part("Commands", found.command), ...part("Queries", found.query), ...part("Read models", found.model));
}

function marked(item) {
  const node = link(item.kind, item.name);
  if (node.getAttribute("href") === location.hash) node.setAttribute("aria-current", "page");
  return node;
}

function show() {
  const [, kind = "", name = ""] = location.hash.split("/").map(decodeURIComponent);
  const item = items()[kind]?.find((each) => each.name === name);
  const view = { command: commandView, query: queryView, model: modelView }[kind];
  $("main").replaceChildren(...(item ? view(item) : overview()).filter(Boolean));
  document.title = item ? `${name} · ${state.api.info.title}` : state.api.info.title;
  contents();
  window.scrollTo(0, 0);
}

async function start() {
  try {
    const response = await fetch("openapi.json");
    if (!response.ok) throw new Error(`openapi.json answered ${response.status}`);
    state.api = await response.json();
  } catch (error) {
    $("main").replaceChildren(make("p", { class: "problem" }, `The description can't be loaded: ${error.message}`));
    return;
  }
  $("name").textContent = state.api.info.title;
  await lookAtHealth();
  show();
  window.addEventListener("hashchange", () => { show(); $("main").focus(); });
  $("filter").addEventListener("input", contents);
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input, textarea")) { event.preventDefault(); $("filter").focus(); }
  });
  setInterval(lookAtHealth, POLL_MS);
}

start();
