"use strict";
// Unpacks the rows, then pages, filters and opens them. Data only ever becomes text: nothing here writes markup.
(() => {
  const PAGE = 100, CELL = 90, VALUE = 4000;
  const [KEY, KIND, STANDING, CHANGED, SOURCE, TARGET, SEEN, NIGHTS, EVENT, LINK, CREATED, MONEY, CURRENCY, ACK] = Array(14).keys();
  const $ = (id) => document.getElementById(id);
  const read = (id) => JSON.parse($(id).textContent);
  const conf = read("settings"), meta = read("meta");
  const form = $("filters"), body = $("body"), count = $("count");
  const number = new Intl.NumberFormat("en-US");
  let rows = [], hay = [], hits = [], at = 0, open = 0, gone = 0;

  // The same characters that the terminal's rendering shows as escapes.
  const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;
  const SHORT = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };
  const hex = (code) => code < 256 ? "\\x" + code.toString(16).padStart(2, "0")
    : code < 65536 ? "\\u" + code.toString(16).padStart(4, "0") : "\\U" + code.toString(16).padStart(8, "0");
  const inert = (text) => text.replace(HIDDEN, (one) => SHORT[one] || hex(one.codePointAt(0)));
  const lined = (text) => text.replace(HIDDEN, (one) => one === "\n" ? one : SHORT[one] || hex(one.codePointAt(0)));
  meta.fields = meta.fields.map(inert);
  const cut = (text) => text.length > CELL ? text.slice(0, CELL) + "…" : text;
  const whole = (value) => {
    const all = shown(value);
    return lined(all.slice(0, VALUE)) + (all.length > VALUE ? `… (${number.format(all.length)} characters; recon report ${conf.run} -f jsonl has all)` : "");
  };
  const shown = (value) => typeof value === "string" ? value : String(value);

  const el = (tag, attributes, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) if (value !== null && value !== false) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const text = (tag, look, content) => el(tag, look ? { class: look } : null, content);

  const fieldsOf = (record) => meta.shapes[record[0]];
  const valueOf = (record, field) => {
    const place = record ? fieldsOf(record).indexOf(field) : -1;
    return place < 0 ? undefined : record[place + 1];
  };
  const amount = (minor, currency) => {
    const digits = meta.digits[currency] ?? 2, value = BigInt(minor), plus = value < 0n ? -value : value, whole = 10n ** BigInt(digits);
    const part = digits ? "." + String(plus % whole).padStart(digits, "0") : "";
    return (value < 0n ? "-" : "") + number.format(plus / whole) + part;
  };
  const sumOf = (row) => row[MONEY] === null ? "" : `${row[CURRENCY] || ""} ${amount(row[MONEY], row[CURRENCY])}`;
  const worth = (row) => row[MONEY] === null ? 0 : Math.abs(Number(row[MONEY])) / 10 ** (meta.digits[row[CURRENCY]] ?? 2);
  const moment = (iso) => iso.replace("T", " ").replace(/\.\d+/, "");
  const age = (row) => row[NIGHTS] <= 1 ? "1 night" : number.format(row[NIGHTS]) + " nights";

  // A key as one word of a POSIX shell; with invisible characters in it, as bash and zsh write those.
  const shell = (word) => {
    if (/^[\w@%+=:,./][\w@%+=:,./-]*$/.test(word)) return word;
    if (inert(word) === word) return "'" + word.replaceAll("'", "'\\''") + "'";
    return "$'" + inert(word.replace(/[\\']/g, "\\$&")) + "'";
  };
  const command = (row) => `recon run ${conf.domain} --id${row[KEY].startsWith("-") ? "=" : " "}${shell(row[KEY])}`;

  const copied = async (button, content) => {
    try { await navigator.clipboard.writeText(content); button.textContent = "copied"; }
    catch { getSelection().selectAllChildren(button.previousElementSibling); button.textContent = "selected"; }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  };
  const copier = (content, label) => {
    const button = el("button", { type: "button", class: "copy", "aria-label": "Copy " + label }, "copy");
    button.addEventListener("click", () => copied(button, content));
    return button;
  };

  const mark = (side, value, place) => {
    const line = el("div", { class: side === "-" ? "is" : "should" }, text("b", "", side + " "));
    line.append(value === undefined ? text("i", "", "not there") : text("span", "value", whole(value)), text("small", "", place));
    return line;
  };
  const difference = (row) => {
    const list = el("dl", { class: "diff" });
    for (const field of row[CHANGED]) {
      const pair = el("dd", null, mark("-", valueOf(row[TARGET], field), conf.target), mark("+", valueOf(row[SOURCE], field), conf.source));
      list.append(text("dt", "", meta.fields[field]), pair);
    }
    return list;
  };
  const records = (row) => {
    const names = [...new Set([row[SOURCE], row[TARGET]].flatMap((record) => record ? fieldsOf(record) : []))];
    const head = el("tr", null, ...["field", conf.target, conf.source].map((name) => el("th", { scope: "col" }, name)));
    const lines = names.map((field) => {
      const cells = [row[TARGET], row[SOURCE]].map((record) => {
        const value = valueOf(record, field);
        return value === undefined ? el("td", null, text("i", "", "not there")) : el("td", null, text("span", "value", whole(value)));
      });
      const differs = row[CHANGED].includes(field);
      return el("tr", differs ? { class: "differs" } : null, el("th", { scope: "row" }, (differs ? "~ " : "") + meta.fields[field]), ...cells);
    });
    return el("table", { class: "records" }, el("caption", null, "Both records"), el("thead", null, head), el("tbody", null, ...lines));
  };
  const facts = (row) => {
    const list = el("dl", { class: "facts" });
    const fact = (name, ...content) => list.append(el("div", null, text("dt", "", name), el("dd", null, ...content)));
    fact("First seen", `${moment(row[SEEN])}, ${age(row)}`);
    if (row[MONEY] !== null) fact("Amount", sumOf(row));
    if (row[CREATED]) fact("Created", moment(row[CREATED]));
    if (row[ACK]) fact("Acknowledged", inert(row[ACK]));
    if (row[EVENT]) fact("Event", text("code", "", inert(row[EVENT])), copier(row[EVENT], "event id"));
    // Checked again here, so that no other scheme could ever become a link.
    if (row[LINK] && /^https?:\/\//i.test(row[LINK])) {
      fact("Third party", el("a", { href: row[LINK], rel: "noopener noreferrer", target: "_blank" }, `Open at ${conf.provider} ↗`));
    }
    fact("Check again", text("code", "", command(row)), copier(command(row), "command"));
    return list;
  };

  const gist = (row) => {
    const span = el("span", { class: "gist" });
    for (const field of row[CHANGED].slice(0, 2)) {
      const [before, after] = [row[TARGET], row[SOURCE]].map((record) => {
        const value = valueOf(record, field);
        return value === undefined ? "not there" : cut(inert(shown(value).slice(0, CELL + 1)));
      });
      span.append(text("b", "", meta.fields[field]), " ", text("bdi", "", before), " → ", text("bdi", "", after), " ");
    }
    if (row[CHANGED].length > 2) span.append(`and ${row[CHANGED].length - 2} more`);
    if (!row[CHANGED].length && row[CREATED]) span.append(`created ${moment(row[CREATED])}`);
    return span;
  };
  const standing = (row) => {
    const name = meta.standings[row[STANDING]];
    return text("span", "standing " + name, name);
  };
  const lineOf = (row) => {
    const id = `row${++open}`;
    const button = el("button", { type: "button", class: "open", "aria-expanded": "false", "aria-controls": id }, text("span", "arrow", "▸"));
    button.setAttribute("aria-label", "Details of " + inert(row[KEY].slice(0, 200)));
    const kind = meta.kinds[row[KIND]];
    const what = el("td", { class: "what" }, text("bdi", "key", inert(row[KEY])), gist(row));
    const line = el("tr", { class: "item" }, el("td", null, button), el("td", { class: "kind " + kind }, `${conf.marks[row[KIND]]} ${conf.words[row[KIND]]}`),
      what, el("td", null, standing(row)), text("td", "num", age(row)), text("td", "num", sumOf(row)));
    const toggle = () => {
      const detail = line.nextElementSibling;
      if (detail && detail.id === id) { detail.remove(); button.setAttribute("aria-expanded", "false"); return; }
      const inside = row[CHANGED].length ? [difference(row), facts(row), records(row)] : [facts(row), records(row)];
      line.after(el("tr", { id, class: "detail" }, el("td", { colspan: "6" }, el("div", { class: "inside" }, ...inside))));
      button.setAttribute("aria-expanded", "true");
    };
    line.addEventListener("click", (event) => { if (!event.target.closest("a, .copy") && !String(getSelection())) toggle(); });
    return line;
  };

  const show = () => {
    const last = Math.max(0, Math.ceil(hits.length / PAGE) - 1);
    at = Math.min(Math.max(0, at), last);
    const from = at * PAGE, part = Array.from(hits.slice(from, from + PAGE), (place) => lineOf(rows[place]));
    if (!part.length) part.push(el("tr", null, el("td", { colspan: "6", class: "none" }, rows.length > gone ? "No discrepancy fits these filters." : conf.none)));
    body.replaceChildren(...part);
    const range = hits.length ? `${number.format(from + 1)}–${number.format(Math.min(from + PAGE, hits.length))} of ` : "";
    const base = form.elements.standing.value ? rows.length : rows.length - gone;
    count.textContent = range + number.format(hits.length) + (hits.length === base ? "" : `, filtered from ${number.format(base)}`)
      + (gone && base < rows.length ? `; ${number.format(gone)} resolved ${gone === 1 ? "one" : "ones"} not shown` : "");
    for (const name of ["previous", "next"]) $(name).disabled = name === "previous" ? at === 0 : at === last;
  };

  const hayOf = (row) => {
    let all = row[KEY] + "\n" + (row[EVENT] || "");
    for (const record of [row[SOURCE], row[TARGET]]) if (record) for (let place = 1; place < record.length; place += 1) all += "\n" + record[place];
    return all.toLowerCase();
  };
  // The texts to search are made while the browser has nothing else to do; a search before that makes the rest at once.
  const prepare = (deadline) => {
    while (hay.length < rows.length && (!deadline || deadline.timeRemaining() > 1)) {
      for (let n = 0; n < 500 && hay.length < rows.length; n += 1) hay.push(hayOf(rows[hay.length]));
    }
    if (hay.length < rows.length) requestIdleCallback(prepare);
    else document.documentElement.dataset.searchable = "yes";
  };

  const chosen = () => Object.fromEntries(new FormData(form));
  const ORDERS = {
    nights: (a, b) => rows[b][NIGHTS] - rows[a][NIGHTS] || a - b,
    money: (a, b) => worth(rows[b]) - worth(rows[a]) || a - b,
  };
  const filter = () => {
    const want = chosen(), query = want.q.trim().toLowerCase();
    const kind = meta.kinds.indexOf(want.kind), stand = meta.standings.indexOf(want.standing), field = meta.fields.indexOf(want.field);
    const resolved = want.standing ? -1 : meta.standings.indexOf("resolved");
    const nights = Number(want.nights) || 0, least = Number(want.money) || 0;
    if (query) prepare();
    const found = [];
    for (let place = 0; place < rows.length; place += 1) {
      const row = rows[place];
      if (row[STANDING] === resolved || kind >= 0 && row[KIND] !== kind || stand >= 0 && row[STANDING] !== stand || row[NIGHTS] < nights) continue;
      if (field >= 0 && !row[CHANGED].includes(field) || least > 0 && worth(row) < least) continue;
      if (query && !hay[place].includes(query)) continue;
      found.push(place);
    }
    hits = ORDERS[want.sort] ? found.sort(ORDERS[want.sort]) : found;
    show();
  };

  // Filters live in the address, so that a view can be handed on; an address without `=` is a place on the page.
  const save = () => {
    const kept = new URLSearchParams(Object.entries({ ...chosen(), page: at ? String(at + 1) : "" }).filter(([, value]) => value));
    try { history.replaceState(null, "", "#" + kept); } catch { /* a page without an address of its own keeps its filters in the form */ }
  };
  const restore = () => {
    if (location.hash && !location.hash.includes("=")) return;
    const kept = new URLSearchParams(location.hash.slice(1));
    for (const field of form.elements) if (field.name) field.value = kept.get(field.name) || "";
    at = (Number(kept.get("page")) || 1) - 1;
    filter();
  };
  const changed = () => {
    const begun = performance.now();
    at = 0;
    filter();
    save();
    document.documentElement.dataset.filtered = String(performance.now() - begun);
  };
  const turn = (by) => { at += by; show(); save(); $("table").scrollIntoView({ block: "start" }); };

  const unpack = async () => {
    const packed = $("rows").textContent;
    const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(packed) : Uint8Array.from(atob(packed), (one) => one.charCodeAt(0));
    $("rows").textContent = "";
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
  };

  const start = async () => {
    for (const button of document.querySelectorAll("button.copy[hidden]")) {
      button.hidden = false;
      button.addEventListener("click", () => copied(button, button.previousElementSibling.textContent));
    }
    const differing = new Set();
    rows = await unpack();
    for (const row of rows) {
      gone += meta.standings[row[STANDING]] === "resolved";
      for (const field of row[CHANGED]) differing.add(field);
    }
    for (const field of differing) form.elements.field.append(el("option", { value: meta.fields[field] }, meta.fields[field]));
    if (meta.dropped) $("table").before(text("p", "noscript", `The page holds the first ${number.format(meta.count)} rows; ${number.format(meta.dropped)} more are in: recon report ${conf.run} -f csv`));
    const valued = rows.some((row) => row[MONEY] !== null);
    for (const part of document.querySelectorAll(".valued")) part.hidden = !valued;
    $("amount").classList.toggle("hidden", !valued);
    restore();
    let waiting = 0;
    form.addEventListener("input", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(changed); });
    form.addEventListener("reset", () => { setTimeout(changed); });
    form.addEventListener("submit", (event) => event.preventDefault());
    $("previous").addEventListener("click", () => turn(-1));
    $("next").addEventListener("click", () => turn(1));
    addEventListener("hashchange", restore);
    addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.closest("input, select, textarea")) return;
      event.preventDefault();
      form.elements.q.focus();
    });
    form.hidden = $("pager").hidden = !rows.length;
    performance.mark("recon-ready");
    document.documentElement.dataset.ready = String(performance.now());
    if (window.requestIdleCallback) requestIdleCallback(prepare); else setTimeout(prepare);
  };
  start().catch((error) => {
    body.replaceChildren(el("tr", null, el("td", { colspan: "6", class: "none" }, `The rows could not be unpacked (${error}); recon report ${conf.run} -f csv has them all.`)));
  });
})();
