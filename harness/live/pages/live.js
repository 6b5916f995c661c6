// <backoff-live>: how far a sweep is and what it has found, from GET live beside this script.
// Everything that a user wrote goes through textContent; nothing is asked of other machines.
const base = new URL(".", import.meta.url);
const KEPT_MS = { running: 1000, reporting: 1000, ready: 2000, ended: 2000 };
const SVG = "http://www.w3.org/2000/svg";
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7f5fbf", "#c0392b"];
// Markers differ without colour, too.
const MARKERS = [
  (r) => `M${-r} 0A${r} ${r} 0 1 0 ${r} 0A${r} ${r} 0 1 0 ${-r} 0Z`,
  (r) => `M${-r} ${-r}H${r}V${r}H${-r}Z`,
  (r) => `M0 ${-1.3 * r}L${1.2 * r} ${r}H${-1.2 * r}Z`,
  (r) => `M0 ${-1.4 * r}L${1.4 * r} 0L0 ${1.4 * r}L${-1.4 * r} 0Z`,
  (r) => `M0 ${1.3 * r}L${1.2 * r} ${-r}H${-1.2 * r}Z`,
  (r) => `M${-r} ${-r}L${r} ${r}M${-r} ${r}L${r} ${-r}`,
];

const make = (name, attributes = {}, ...children) => {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};
const draw = (name, attributes = {}, text = "") => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
};

const digits = (value) => {
  if (value === 0) return "0";
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
};
const inUnit = (value, unit) => {
  if (value === null) return "–";
  if (unit === "s") return value >= 1 || value === 0 ? `${digits(value)} s` : `${digits(value * 1000)} ms`;
  return Number.isInteger(value) ? value.toLocaleString("en") : digits(value);
};
const about = (seconds) => {
  if (seconds === null) return "as long as its jobs take";
  if (seconds < 180) return `about ${Math.ceil(seconds)} s`;
  return seconds < 6000 ? `about ${Math.round(seconds / 60)} min` : `about ${(seconds / 3600).toFixed(1)} h`;
};
// Names that go together differ at their ends, so the middle is left out.
const shortened = (name, most) => name.length <= most ? name
  : `${name.slice(0, Math.ceil((most - 1) / 2))}…${name.slice(name.length - Math.floor((most - 1) / 2))}`;
const counted = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

function headline(at) {
  const repeats = at.visits.some((visit) => visit.repeat > 0);
  if (at.state === "ready") {
    return `Ready: ${counted(at.settings.length, "setting")}, ${counted(at.visits.length, "visit")} of ` +
      `${counted(at.lanes, "lane")}, polling ${at.target}; it takes ${about(at.eta_s)}.`;
  }
  if (at.state === "running") {
    const left = at.eta_s === null ? "" : ` · ${about(at.eta_s)} left`;
    if (at.current === null) {
      const begun = at.visits.some((visit) => visit.state !== "waiting");
      return `${begun ? "Between two visits" : "The first visit is about to begin"}${left}`;
    }
    const visit = at.visits[at.current];
    const of = visit.jobs === null ? counted(visit.submitted, "job") : `${visit.jobs.toLocaleString("en")} jobs`;
    const repeat = repeats ? `, repeat ${visit.repeat + 1}` : "";
    return `Visit ${at.current + 1} of ${at.visits.length}: ${visit.setting}${repeat} · ` +
      `${visit.ended.toLocaleString("en")} of ${of} ended${left}`;
  }
  if (at.state === "reporting") return "All visits are over; the report is being made";
  return at.incomplete === null ? "Done" : `Incomplete: ${at.incomplete}`;
}

const marker = (place, x, y) => draw("path", {
  d: MARKERS[place % MARKERS.length](6), transform: `translate(${x} ${y})`, "stroke-width": 2,
  stroke: COLOURS[place % COLOURS.length],
  fill: place % MARKERS.length === 5 ? "none" : COLOURS[place % COLOURS.length],
});

function picture(at, room) {
  const width = Math.max(300, Math.min(680, room)); // so that letters keep their size
  const [height, left, bottom, top, right] = [340, 84, 46, 14, 16];
  const points = at.settings
    .map((setting, place) => ({ ...setting, place }))
    .filter((each) => each.polls_per_job > 0 && each.lag_mean_s > 0);
  const running = at.current === null ? null : at.visits[at.current].setting;
  const told = points.map((p) => `${p.setting}: ${digits(p.polls_per_job)} polls, ${inUnit(p.lag_mean_s, "s")}`);
  const svg = draw("svg", {
    viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": points.length ? `Polls per job against mean lag. ${told.join("; ")}` : "No job has ended yet",
  });
  if (!points.length) {
    svg.append(draw("text", { x: width / 2, y: height / 2, "text-anchor": "middle", class: "dim" },
      "The picture fills in as jobs end"));
    return svg;
  }
  const axis = (values, from, to) => {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const logarithmic = most / least > 8;
    const [low, high] = logarithmic ? [least / 1.4, most * 1.4] : [0, most * 1.15];
    const place = logarithmic ? (v) => Math.log(v / low) / Math.log(high / low) : (v) => v / high;
    const at = (v) => from + (to - from) * place(v);
    const ticks = [];
    if (logarithmic) {
      for (let ten = 10 ** Math.floor(Math.log10(low)); ten <= high; ten *= 10)
        for (const step of [1, 2, 5]) if (ten * step >= low && ten * step <= high) ticks.push(ten * step);
    } else {
      const rough = high / 5, ten = 10 ** Math.floor(Math.log10(rough));
      const step = ten * [1, 2, 5, 10].find((n) => n * ten >= rough);
      for (let n = 0; n * step <= high; n++) ticks.push(n * step);
    }
    return { at, ticks };
  };
  const x = axis(points.map((p) => p.polls_per_job), left, width - right);
  const y = axis(points.map((p) => p.lag_mean_s), height - bottom, top);
  const short = (value, unit = "") => `${Number(value.toPrecision(3))}${unit}`;
  for (const tick of x.ticks) {
    svg.append(draw("line", { x1: x.at(tick), x2: x.at(tick), y1: top, y2: height - bottom, class: "grid" }));
    svg.append(draw("text", { x: x.at(tick), y: height - bottom + 16, "text-anchor": "middle", class: "dim" },
      short(tick)));
  }
  for (const tick of y.ticks) {
    svg.append(draw("line", { x1: left, x2: width - right, y1: y.at(tick), y2: y.at(tick), class: "grid" }));
    svg.append(draw("text", { x: left - 8, y: y.at(tick) + 4, "text-anchor": "end", class: "dim" },
      tick >= 1 || tick === 0 ? short(tick, " s") : short(tick * 1000, " ms")));
  }
  svg.append(draw("text", { x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle" },
    "polls per job: the load on the server"));
  svg.append(draw("text", { x: 0, y: 0, "text-anchor": "middle",
    transform: `translate(14 ${(top + height - bottom) / 2}) rotate(-90)` }, "mean lag"));
  // A name stands beside its point, at the first place where it covers nothing.
  const boxes = points.map((p) => [x.at(p.polls_per_job) - 9, y.at(p.lag_mean_s) - 9, 18, 18]);
  const isFree = ([ax, ay, aw, ah]) => ax >= left && ax + aw <= width && ay >= 0 && ay + ah <= height - bottom &&
    boxes.every(([bx, by, bw, bh]) => ax >= bx + bw || bx >= ax + aw || ay >= by + bh || by >= ay + ah);
  for (const p of points) {
    const [px, py] = [x.at(p.polls_per_job), y.at(p.lag_mean_s)];
    const mark = marker(p.place, px, py);
    mark.append(draw("title", {}, told[points.indexOf(p)]));
    if (p.setting === running) svg.append(draw("circle", { cx: px, cy: py, r: 11, class: "ring" }));
    svg.append(mark);
    const places = [28, 20, 14, 9].flatMap((most) => {
      const name = shortened(p.setting, most), long = name.length * 7.5;
      const beside = [px > width / 2 ? px - 13 - long : px + 13, px > width / 2 ? px + 13 : px - 13 - long];
      return [0, -18, 18, -36, 36, -54, 54].flatMap((down) => beside.map((bx) => [bx, py - 8 + down, long, 16, name]));
    });
    const box = places.find(isFree);
    if (box === undefined) continue; // the marker and the table say it
    if (Math.abs(box[1] + 8 - py) > 18)
      svg.append(draw("line", { x1: px, y1: py, x2: box[0] < px ? px - 12 : px + 12, y2: box[1] + 8, class: "grid" }));
    boxes.push(box);
    svg.append(draw("text", { x: box[0], y: box[1] + 12 }, box[4]));
  }
  return svg;
}

function table(at) {
  const columns = at.figures;
  const running = at.current === null ? null : at.visits[at.current].setting;
  const head = make("tr", {}, make("th", { scope: "col" }, "Setting"),
    ...columns.map(({ title }) => make("th", { scope: "col" }, title)));
  const rows = at.settings.map((setting, place) => {
    const mark = draw("svg", { width: 18, height: 18, viewBox: "0 0 18 18", "aria-hidden": "true" });
    mark.append(marker(place, 9, 9));
    const name = make("th", { scope: "row" }, mark, setting.setting);
    if (setting.setting === running) name.append(make("span", { class: "now" }, "running"));
    return make("tr", {}, name, ...columns.map(({ key, unit }) => make("td", {}, inUnit(setting[key], unit))));
  });
  return make("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Figures of each setting" },
    make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

function trust(at) {
  const bad = at.trust.filter((check) => check.status !== "pass");
  const passed = at.trust.length - bad.length;
  if (!at.trust.length) return make("p", { class: "dim" }, "Trust: the first checks are made when a visit is over.");
  const more = at.verdict === null ? " so far; the rest is checked with the report" : "";
  const box = make("div", { class: "trust" },
    make("p", {}, `Trust: ${passed} of ${counted(at.trust.length, "check")} passed${more}.`));
  for (const check of bad)
    box.append(make("p", { class: check.status }, `${check.status}: ${check.check}: ${check.detail}`));
  return box;
}

function verdict(at) {
  if (at.state !== "ended") return "";
  if (at.verdict === null) {
    const where = at.folder === null ? "nothing was measured" : `the rows are in ${at.folder}; the terminal says why`;
    return make("div", { class: "verdict" }, make("strong", {}, "No report"), make("p", {}, where));
  }
  const { setting, why, rival } = at.verdict;
  const words = at.headline.startsWith(setting) ? at.headline : at.headline[0].toUpperCase() + at.headline.slice(1);
  const box = make("div", { class: setting === null || rival !== null ? "verdict" : "verdict good" },
    make("strong", {}, setting === null ? "No verdict" : words), make("p", {}, why));
  const links = make("p", { class: "links" }, make("a", { href: at.report, class: "report" }, "Open the report"));
  for (const [file, address] of Object.entries(at.files)) links.append(make("a", { href: address }, file));
  box.append(links);
  return box;
}

class BackoffLive extends HTMLElement {
  connectedCallback() {
    this.attachShadow({ mode: "open" });
    this.shown = make("div", { class: "live" });
    this.shadowRoot.append(make("link", { rel: "stylesheet", href: new URL("live.css", base) }), this.shown);
    this.shown.append(make("slot"));
    this.refresh();
  }

  async refresh() {
    let wait = 5000;
    try {
      const reply = await fetch(new URL("live", base), { headers: { Accept: "application/json" } });
      if (!reply.ok || reply.redirected) throw new Error(`answered ${reply.status}`);
      const at = await reply.json();
      wait = KEPT_MS[at.state];
      this.show(at);
    } catch (error) {
      this.fault(error);
    }
    setTimeout(() => this.refresh(), wait);
  }

  // A strip shows everything while its host's tab is open.
  get isWhole() {
    return !this.hasAttribute("strip") || new URLSearchParams(location.search).get("tab") === "backoff";
  }

  show(at) {
    const [red, green, blue] = getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g).map(Number);
    this.shown.classList.toggle("dark", red * 0.3 + green * 0.6 + blue * 0.1 < 128);
    this.shown.classList.toggle("strip", this.hasAttribute("strip"));
    const whole = this.isWhole;
    const drawn = JSON.stringify([at, whole]);
    if (drawn === this.drawn) return; // nothing that somebody reads or selects is replaced by the same
    this.drawn = drawn;
    const percent = Math.round(at.progress * 100);
    const title = make("p", { class: "title" }, make("strong", {}, at.scenario), ` ${at.question}`);
    if (this.hasAttribute("strip")) title.append(make("a", { href: base.href }, "Backoff page"));
    const bar = make("div", {
      role: "progressbar", "aria-label": "progress of the sweep", "aria-valuenow": percent,
      "aria-valuemin": 0, "aria-valuemax": 100, class: "bar",
    }, make("div", { style: `width:${percent}%` }));
    const parts = [title, make("p", { class: "state", role: "status" }, headline(at)), bar];
    const before = this.state !== at.state ? undefined : this.shown.querySelector("details")?.open;
    const open = before ?? (at.state === "ready" && this.shown.clientWidth > 700);
    this.state = at.state;
    if (at.state === "ready" || !this.hasAttribute("strip")) {
      const lines = make("ul", {}, ...at.about.slice(1).map((line) => make("li", {}, line.trim())));
      const summary = at.state === "ready" ? "What will run, and what it costs" : "What this is a run of";
      parts.push(make("details", open ? { open: "" } : {}, make("summary", {}, summary), lines));
    }
    if (at.state !== "ready" && whole) {
      const figure = make("figure", {}, picture(at, this.shown.clientWidth - 32),
        make("figcaption", {}, "Load against lag so far: further left costs the server less, further down is sooner."));
      parts.push(make("div", { class: "both" }, figure, trust(at)));
      if (!this.hasAttribute("strip")) parts.push(table(at)); // the host's tab has it
    }
    if (at.state === "ended") parts.splice(3, 0, verdict(at));
    this.shown.replaceChildren(...parts);
  }

  fault() {
    this.drawn = null;
    this.shown.querySelector(".fault")?.remove();
    this.shown.append(make("p", { class: "fault invalid", role: "alert" },
      "The harness does not answer: has it ended, or must you log in again? Trying on."));
  }
}

customElements.define("backoff-live", BackoffLive);
