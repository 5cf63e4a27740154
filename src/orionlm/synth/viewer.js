"use strict";
// Everything shown came from outside: it enters the page as text nodes and attributes of ours, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const rows = data.rows, strings = data.strings;
const $ = (id) => document.getElementById(id);
const say = (index) => strings[index];
let order = [], at = -1;

function make(tag, options = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// ---- choosing rows
const outcome = (row) => (row.error === 0 ? "kept" : say(row.outcome));
const teacher = (row) => say(row.teacher) + (row.revision ? " @ " + say(row.revision) : "");
const family = (method) => method.split("/")[0];
const variants = new Map();
for (const method of new Set(rows.map((row) => say(row.method)))) {
  variants.set(family(method), (variants.get(family(method)) || 0) + 1);
}
const methods = (method) => (variants.get(family(method)) > 1 ? [family(method) + "/…", method] : [method]);
const CHOICES = {
  method: [(row) => methods(say(row.method)), "all methods"],
  outcome: [(row) => (row.error === 0 ? ["kept"] : ["rejected", "rejected: " + outcome(row)]), "kept and rejected"],
  teacher: [(row) => [teacher(row)], "all teachers"],
};

for (const [id, [of, all]] of Object.entries(CHOICES)) {
  const counts = new Map();
  for (const row of rows) for (const name of of(row)) counts.set(name, (counts.get(name) || 0) + 1);
  const names = [...counts].sort((a, b) => (a[0] < b[0] ? -1 : 1));
  $(id).append(make("option", { value: "" }, `${all} (${rows.length.toLocaleString("en")})`));
  for (const [name, count] of names) {
    $(id).append(make("option", { value: "=" + name }, `${name || "none"} (${count.toLocaleString("en")})`));
  }
}
const scored = new Set(rows.flatMap((row) => row.scores.map(([name]) => name)));
$("order").append(make("option", { value: "" }, "as written"));
for (const name of scored) {
  $("order").append(make("option", { value: "+" + name }, say(name) + ", lowest first"));
  $("order").append(make("option", { value: "-" + name }, say(name) + ", highest first"));
}

let lower = null; // made at the first search
function holding(wanted) {
  lower ??= strings.map((text) => text.toLowerCase());
  const found = new Set();
  lower.forEach((text, index) => { if (text.includes(wanted)) found.add(index); });
  return found;
}
function spoken(row) {
  const pairs = [...row.scores.map(([name]) => [name]), ...row.verdicts, ...row.prompt];
  return [row.id, row.text, row.seed_text, row.response, row.thoughts, row.more, row.error, row.method, row.teacher,
    row.revision, row.licence, row.domain, row.form, row.terms, row.key, ...row.seeds, ...pairs.flat()];
}

function choose() {
  const wanted = $("search").value.trim().toLowerCase();
  const found = wanted ? holding(wanted) : null;
  const held = at >= 0 ? order[at] : undefined;
  order = [];
  rows.forEach((row, index) => {
    for (const [id, [of]] of Object.entries(CHOICES)) {
      const value = $(id).value;
      if (value && !of(row).includes(value.slice(1))) return;
    }
    if (!found || spoken(row).some((each) => found.has(each))) order.push(index);
  });
  const by = $("order").value;
  if (by) {
    const name = Number(by.slice(1)), sign = by[0] === "+" ? 1 : -1;
    const score = (index) => {
      const pair = rows[index].scores.find((each) => each[0] === name);
      return pair && typeof pair[1] === "number" ? sign * pair[1] : Infinity; // what has none comes last
    };
    const values = new Map(order.map((index) => [index, score(index)]));
    order.sort((a, b) => (values.get(a) === values.get(b) ? a - b : values.get(a) - values.get(b)));
  }
  $("list").replaceChildren(...order.map(item));
  go(Math.max(0, order.indexOf(held)));
}

// ---- the list
const items = new Map();
function item(index) {
  let made = items.get(index);
  if (!made) {
    const row = rows[index];
    const button = make("button", { type: "button", class: "row", tabindex: "-1" },
      make("b", {}, (row.error === 0 ? "✓ " : "✕ ") + (say(row.text) || say(row.response) || "(no text)").slice(0, 120)),
      make("span", {}, [say(row.method), teacher(row)].filter(Boolean).join(" · ")));
    button.addEventListener("click", () => go(order.indexOf(index)));
    made = make("li", {}, button);
    items.set(index, made);
  }
  return made;
}

// ---- one row
function pane(title, text, note = "") {
  return make("section", {}, make("h3", {}, title + note), make("pre", { tabindex: "0", "aria-label": title }, text));
}
function folded(title, ...inside) {
  return make("details", {}, make("summary", {}, title), ...inside);
}
function facts(pairs) {
  const list = make("dl");
  for (const [name, value] of pairs) {
    if (value !== "") list.append(make("div", {}, make("dt", {}, name), make("dd", {}, String(value))));
  }
  return list;
}
const number = (value) => (typeof value === "number" ? String(Number(value.toPrecision(4))) : value);
const many = (text) => ` · ${text.length.toLocaleString("en")} characters`;

function show(row) {
  const text = say(row.text), seed = say(row.seed_text), seeds = row.seeds.map(say);
  const parts = [
    make("h2", {}, say(row.method)),
    make("p", { class: "verdict " + (row.error === 0 ? "kept" : "gone") },
      row.error === 0 ? "✓ kept" : "✕ rejected: " + say(row.error)),
  ];
  const written = pane("Written", text, many(text));
  parts.push(seed
    ? make("div", { class: "pair" }, pane("Seed", seed, many(seed)), written)
    : make("div", { class: "pair alone" }, written));
  parts.push(facts([
    ["Teacher", say(row.teacher)], ["Revision", say(row.revision)], ["Licence", say(row.licence)],
    ["Teacher's terms on training", say(row.terms)], ["Generations since a person wrote", row.depth],
    ["Form", say(row.form)], ["Domain", say(row.domain)], ["Tokens", row.tokens || ""],
    ["Seeds", seeds.slice(0, 12).join(", ") + (seeds.length > 12 ? ` and ${seeds.length - 12} more` : "")],
    ["Row", say(row.id)], ["Key in the store of answers", say(row.key)],
  ]));
  if (row.scores.length) {
    parts.push(make("h3", {}, "Scores"), facts(row.scores.map(([name, value]) => [say(name), number(value)])));
  }
  if (row.verdicts.length) {
    parts.push(make("section", {}, make("h3", {}, "Verdicts"), make("ul", {}, ...row.verdicts.map(([name, found]) =>
      make("li", { class: found === 0 ? "kept" : "gone" },
        found === 0 ? `✓ ${say(name)}` : `✕ ${say(name)}: ${say(found)}`)))));
  }
  if (row.prompt.length) {
    parts.push(folded("Prompt", ...row.prompt.map(([role, content]) => pane(say(role) || "text to go on from", say(content)))));
  }
  if (row.response && row.response !== row.text) parts.push(folded("Answer, before it was cleaned", pane("Answer", say(row.response))));
  if (row.thoughts) parts.push(folded("Thoughts, kept apart", pane("Thoughts", say(row.thoughts))));
  if (row.more) parts.push(folded("What else this form has", pane("More", say(row.more))));
  $("row").replaceChildren(...parts);
}

function mark() {
  if (!globalThis.Highlight || !CSS.highlights) return;
  CSS.highlights.delete("found");
  const wanted = $("search").value.trim().toLowerCase();
  if (!wanted) return;
  const ranges = [], walker = document.createTreeWalker($("row"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode() && ranges.length < 1000) {
    const text = walker.currentNode.data.toLowerCase();
    if (text.length !== walker.currentNode.data.length) continue; // some letters grow when lowered
    for (let from = text.indexOf(wanted); from >= 0; from = text.indexOf(wanted, from + wanted.length)) {
      const range = new Range();
      range.setStart(walker.currentNode, from);
      range.setEnd(walker.currentNode, from + wanted.length);
      ranges.push(range);
    }
  }
  CSS.highlights.set("found", new Highlight(...ranges));
}

function go(to) {
  $("list").querySelector("[aria-current]")?.removeAttribute("aria-current");
  at = Math.min(Math.max(to, 0), order.length - 1);
  $("previous").disabled = at <= 0;
  $("next").disabled = at >= order.length - 1;
  $("place").textContent = order.length
    ? `${(at + 1).toLocaleString("en")} of ${order.length.toLocaleString("en")}` : "no such rows";
  if (at < 0) {
    $("row").replaceChildren(make("p", {}, "No row fits. Ask for less."));
    return;
  }
  const chosen = item(order[at]);
  chosen.firstChild.setAttribute("aria-current", "true");
  const list = $("list").parentElement; // by hand: on a phone scrollIntoView would move the whole page
  const box = chosen.getBoundingClientRect(), frame = list.getBoundingClientRect();
  if (box.top < frame.top || box.bottom > frame.bottom) {
    list.scrollTop += box.top - frame.top - (frame.height - box.height) / 2;
  }
  show(rows[order[at]]);
  mark();
  $("row").scrollTop = 0;
  if ($("row").getBoundingClientRect().top < 0) $("row").scrollIntoView(); // a phone's page scrolls as a whole
  try { history.replaceState(null, "", "#" + say(rows[order[at]].id)); } catch { /* some browsers refuse for files */ }
}

// ---- what a person does
let waiting = 0;
$("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(choose, 120); });
for (const id of ["method", "outcome", "teacher", "order"]) $(id).addEventListener("change", choose);
$("filters").addEventListener("submit", (event) => { event.preventDefault(); choose(); });
$("previous").addEventListener("click", () => go(at - 1));
$("next").addEventListener("click", () => go(at + 1));
const KEYS = {
  j: () => go(at + 1), ArrowRight: () => go(at + 1), k: () => go(at - 1), ArrowLeft: () => go(at - 1),
  Home: () => go(0), End: () => go(order.length - 1), "/": () => $("search").focus(),
  o: () => {
    const all = [...$("row").querySelectorAll("details")], open = all.some((each) => !each.open);
    for (const each of all) each.open = open;
  },
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const act = KEYS[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
});

function named() {
  const wanted = location.hash.slice(1);
  return wanted ? rows.findIndex((row) => say(row.id) === wanted) : -1;
}
const first = named();
choose();
if (first > 0) go(order.indexOf(first));
addEventListener("hashchange", () => { const index = order.indexOf(named()); if (index >= 0) go(index); });
