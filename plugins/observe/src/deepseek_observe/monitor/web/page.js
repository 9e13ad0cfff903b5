"use strict";
(() => {
const FACTS = {{facts}};
const ROWS = 600;
const COLORS = ["mark", "hot", "good", "waste", "extra", "cold", "warm", "soft"];
const by = id => document.getElementById(id);
const token = new URLSearchParams(location.search).get("token") || "";
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const address = (path, more) => {
  const query = new URLSearchParams({token, ...more});
  if (device) query.set("device", device);
  return path + "?" + query;
};
let device = null;         // the one whose charts are shown; null: all
let range = 0;             // seconds of the past; 0: the live rows
let live = {t: [], p: {}}; // the last rows: times, and values by family and line
let past = null;           // what /history gave for the range
let stream = null, refetch = 0;
const charts = new Map();  // family -> its chart
const tiles = new Map();   // device -> its button

// Numbers and times, as people read them

const PREFIXES = ["", "k", "M", "G", "T"];
function told(value, unit) {
  if (value == null) return "–";
  if (unit === "ratio") return (value * 100).toFixed(value < 0.1 ? 1 : 0) + " %";
  if (unit === "celsius") return value.toFixed(0) + " °C";
  if (unit === "watts") return value.toFixed(0) + " W";
  let step = 0, rest = Math.abs(value);
  while (rest >= 1000 && step < 4) { rest /= 1000; step++; }
  const digits = (value < 0 ? "-" : "") + Number(rest.toPrecision(3));
  const name = {"bytes": "B", "bytes/s": "B/s", "per s": "/s", "hertz": "Hz", "seconds": "s"}[unit] || "";
  const tail = PREFIXES[step] + name;
  return tail ? digits + (name === "/s" && !step ? "" : " ") + tail : digits;
}
const clock = seconds => new Date(seconds * 1000).toLocaleTimeString();

// Text only: what comes from devices and engines is never markup

function item(words, strong) {
  const li = document.createElement("li");
  if (strong) {
    const b = document.createElement("b");
    b.textContent = strong + " ";
    li.append(b);
  }
  li.append(words);
  return li;
}
function fill(list, rows, make, none) {
  const key = JSON.stringify(rows);
  if (list.key === key) return;
  list.key = key;
  const empty = item(none);
  empty.className = "soft";
  list.replaceChildren(...(rows.length ? rows.map(make) : [empty]));
}

// Devices

function drawDevices(rows) {
  const box = by("devices");
  box.classList.toggle("many", rows.length > 24);
  const there = new Set();
  for (const [name, kind, up, load, memory, heat] of rows) {
    there.add(name);
    let tile = tiles.get(name);
    if (!tile) {
      tile = document.createElement("button");
      tile.type = "button";
      tile.append(document.createElement("b"), document.createElement("span"));
      for (const way of ["mouseenter", "focus"]) tile.addEventListener(way, explain);
      tile.addEventListener("click", () => choose(device === name ? null : name));
      tiles.set(name, tile);
      box.append(tile);
    }
    tile.facts = [name, kind, up, load, memory, heat];
    const short = rows.length > 24 ? name.slice(name.indexOf(":") + 1) : name;
    const percent = up ? (load == null ? "–" : Math.round(load * 100) + "%") : "lost";
    const key = `${short} ${percent} ${device === name}`;
    if (tile.key === key) continue; // most of 256 look as they did: what is not touched costs nothing
    tile.key = key;
    tile.children[0].textContent = short;
    tile.children[1].textContent = percent;
    tile.className = up ? "tile" : "tile lost";
    tile.style.setProperty("--load", up && load != null ? load : 0);
    tile.setAttribute("aria-pressed", device === name);
  }
  for (const [name, tile] of tiles) if (!there.has(name)) { tile.remove(); tiles.delete(name); }
}
function explain({currentTarget: tile}) {
  const [name, kind, up, load, memory, heat] = tile.facts;
  tile.title = `${name} (${kind}): ` + (up ? `utilization ${told(load, "ratio")}, memory ` +
    `${told(memory, "ratio")}, ${told(heat, "celsius")}` : "it does not answer");
}
function choose(name) {
  device = name;
  const text = by("chosen");
  text.replaceChildren();
  if (name) {
    const all = document.createElement("button");
    all.textContent = "all devices";
    all.addEventListener("click", () => choose(null));
    text.append(`only ${name} `, all);
  }
  connect();
  if (range) fetchPast();
}

// Charts

class Chart {
  constructor([family, title, unit, why]) {
    this.family = family; this.unit = unit; this.lines = ""; this.plot = null; this.seen = false;
    this.box = document.createElement("div");
    this.box.className = "chart";
    const head = document.createElement("h3");
    head.textContent = title;
    const limit = FACTS.limits[family];
    this.note = document.createElement("p");
    this.note.className = "soft";
    this.note.textContent = limit == null ? "" : "alert above " + told(limit, unit);
    this.why = why;
    this.room = document.createElement("div");
    this.room.className = "room";
    this.room.setAttribute("role", "img");
    this.room.setAttribute("aria-label", title);
    this.box.append(head, this.note, this.room);
    sight.observe(this.box);
    this.box.chart = this;
  }
  draw(data) {
    const lines = data.p[this.family] || {};
    const names = Object.keys(lines);
    const absent = !names.length;
    this.box.hidden = absent && !this.why;
    this.room.hidden = absent;
    if (this.why) this.note.textContent = absent ? this.why : "";
    if (absent || !this.seen || document.hidden) return;
    const key = names.join("\n");
    if (!this.plot || key !== this.lines) this.make(names);
    this.lines = key;
    this.plot.setData([data.t, ...names.map(name => lines[name])]);
  }
  make(names) {
    if (this.plot) this.plot.destroy();
    const unit = this.unit, grid = {stroke: css("--line"), width: 1};
    const axis = {stroke: css("--soft"), grid, ticks: grid, font: "12px system-ui"};
    const isBand = names.join() === "lowest,mean,highest";
    const color = n => css("--" + COLORS[isBand ? 0 : n % COLORS.length]);
    this.plot = new uPlot({
      width: Math.max(this.room.clientWidth, 200), height: 150,
      scales: {y: {range: (u, low, high) => unit === "ratio" && high <= 1 ? [0, 1] :
        low == null ? [0, 1] : uPlot.rangeNum(Math.min(low, 0), high || 1, 0.1, true)}},
      axes: [axis, {...axis, size: 76, values: (u, ticks) => ticks.map(v => told(v, unit))}],
      cursor: {drag: {x: false, y: false}},
      series: [{label: "time", value: (u, v) => clock(v ?? u.data[0].at(-1) ?? 0)}, ...names.map((name, n) => ({
        label: name, stroke: color(n), width: isBand && n !== 1 ? 0 : 1.5, points: {show: false},
        value: (u, v, s, at) => told(at == null ? u.data[s].at(-1) : v, unit),
      }))],
      bands: isBand ? [{series: [3, 1], fill: color(0) + "40"}] : [],
    }, null, this.room);
  }
}
const sight = new IntersectionObserver(entries => {
  for (const {target, isIntersecting} of entries) {
    target.chart.seen = isIntersecting;
    if (isIntersecting) target.chart.draw(shown());
  }
}, {rootMargin: "100px"});
for (const facts of FACTS.panels) {
  const chart = new Chart(facts);
  charts.set(facts[0], chart);
  by("charts").append(chart.box);
}
const shown = () => range ? past || {t: [], p: {}} : live;
const drawCharts = () => charts.forEach(chart => chart.draw(shown()));
function remake() {
  charts.forEach(chart => { chart.lines = null; });
  drawCharts();
}

// Rows

function addRow(time, row) {
  const length = live.t.push(time);
  for (const [family, lines] of Object.entries(row)) {
    const known = live.p[family] ||= {};
    for (const name of Object.keys(lines)) known[name] ||= [];
  }
  for (const [family, known] of Object.entries(live.p)) {
    for (const [name, values] of Object.entries(known)) {
      while (values.length < length - 1) values.push(null);
      values.push(row[family]?.[name]?.[0] ?? null);
      if (values.length > ROWS) values.shift();
    }
  }
  if (length > ROWS) live.t.shift();
}
function drawNow(now) {
  if (!now) return;
  drawDevices(now.devices);
  fill(by("alerts"), now.alerts, ([name, subject, text, since]) =>
    item(`${subject}: ${text} (since ${clock(since)})`, name), "none");
  fill(by("events"), now.events.reverse(), one =>
    item(`${clock(one.t)} ${one.text} (process ${one.pid})`, one.type), "none yet");
  const notes = by("notes");
  notes.textContent = Object.values(now.notes).join("\n");
  notes.hidden = !notes.textContent;
}
function measured(time) {
  requestAnimationFrame(() => setTimeout(() => {
    const lag = performance.timeOrigin + performance.now() - time * 1000;
    by("lag").textContent = `sample of ${clock(time)}, drawn ${lag.toFixed(0)} ms after it`;
  }));
}
function state(words, kind) {
  const line = by("state");
  line.textContent = words;
  line.className = kind;
}
function connect() {
  if (stream) stream.close();
  stream = new EventSource(address("events"));
  stream.addEventListener("snapshot", ({data}) => {
    const found = JSON.parse(data);
    live = found.past;
    drawNow(found.now);
    drawCharts();
    state("live", "live");
  });
  stream.addEventListener("row", ({data}) => {
    const row = JSON.parse(data);
    const ahead = (live.t.at(-1) ?? 0) - row.now.t;
    if (ahead > 1) return connect(); // the clock was set back
    if (ahead >= 0) return;          // the snapshot had it
    addRow(row.now.t, row.p);
    drawNow(row.now);
    if (!range) drawCharts();
    measured(row.now.t);
  });
  const own = stream;
  stream.onerror = () => {
    if (own !== stream) return;
    state("no connection: what is shown is old", "gone");
    if (own.readyState !== EventSource.CLOSED) return;
    device = null;
    setTimeout(() => { if (own === stream) connect(); }, 3000);
  };
}
async function fetchPast() {
  clearTimeout(refetch);
  if (!range) return;
  const asked = range;
  try {
    const answer = await fetch(address("history", {seconds: asked}));
    if (answer.ok && asked === range) past = await answer.json();
  } catch { /* the state of the stream says it */ }
  if (asked !== range) return;
  drawCharts();
  refetch = setTimeout(fetchPast, Math.max(asked / ROWS, 10) * 1000);
}
by("range").addEventListener("change", event => {
  range = Number(event.target.value);
  past = null;
  drawCharts();
  fetchPast();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", remake);
document.addEventListener("visibilitychange", drawCharts);
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; remake(); } });
by("range").value = "0";
connect();
})();
