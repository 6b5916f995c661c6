/* Draws the pictures, and lets a reader follow a setting, sort, copy and ask what waiting is worth. */
(function () {
  "use strict";
  const {pictures, whatIf} = JSON.parse(document.getElementById("data").textContent);
  const config = {responsive: true, displayModeBar: false, displaylogo: false};
  const variants = {}; // by picture: which set of traces is shown
  let chosen = null; // the setting that is followed, by its place
  let priced = []; // what the price of a request adds to the picture of load and lag

  const all = (selector) => [...document.querySelectorAll(selector)];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const narrow = () => window.innerWidth < 600;
  const copyOf = (value) => JSON.parse(JSON.stringify(value));
  const say = (text) => { document.getElementById("said").textContent = text; };

  function shortened(text, most) {
    // In the middle: long names often differ at their ends alone.
    const head = Math.ceil((most - 1) / 2);
    return text.length > most ? text.slice(0, head) + "…" + text.slice(text.length - (most - 1 - head)) : text;
  }

  function layoutOf(picture) {
    const layout = copyOf(picture.layout);
    const ink = colour("--ink"), line = colour("--line"), paper = colour("--paper");
    for (const axis of [layout.xaxis, layout.yaxis]) {
      Object.assign(axis, {gridcolor: line, linecolor: line, zerolinecolor: line, automargin: true, fixedrange: true});
      axis.title.standoff = 10;
    }
    if (narrow() && layout.xaxis.type === "log" && layout.xaxis.tickvals.length > 7) {
      const whole = layout.xaxis.tickvals.map((value) => Number.isInteger(+Math.log10(value).toFixed(9)));
      layout.xaxis.ticktext = layout.xaxis.ticktext.filter((_, i) => whole[i]);
      layout.xaxis.tickvals = layout.xaxis.tickvals.filter((_, i) => whole[i]);
    }
    if (layout.yaxis.ticktext && layout.yaxis.type !== "log") {
      layout.yaxis.ticktext = layout.yaxis.ticktext.map((text) => shortened(text, narrow() ? 14 : 26));
    }
    for (const note of layout.annotations || []) note.font = {size: 12, color: colour("--soft")};
    return Object.assign(layout, {
      showlegend: Boolean(layout.showlegend), dragmode: false, hovermode: "closest", autosize: true,
      height: layout.height || (narrow() ? 330 : 420), barmode: "stack",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: {color: ink, size: narrow() ? 12 : 14, family: getComputedStyle(document.body).fontFamily},
      hoverlabel: {bgcolor: paper, bordercolor: line, font: {color: ink}},
      legend: {orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: {size: 12}},
      margin: {l: 56, r: 16, t: (layout.annotations || []).length ? 44 : 16, b: 48},
    });
  }

  function tracesOf(id) {
    const picture = pictures[id];
    const traces = copyOf(picture.variants ? picture.variants[variants[id] || 0] : picture.data);
    for (const trace of traces) {
      const meta = trace.meta || {};
      if (trace.mode === "markers+text" && narrow()) trace.mode = "markers";
      if (trace.mode === "markers+text") trace.textfont = {size: 12};
      if (trace.marker && trace.marker.color === "ink") trace.marker.color = colour("--ink");
      if (trace.line && trace.line.color === "ink") trace.line.color = colour("--ink");
      if (chosen === null) continue;
      if ("setting" in meta && meta.setting !== chosen) trace.opacity = 0.2;
      if (meta.settings) trace.marker.opacity = meta.settings.map((each) => (each === chosen ? 1 : 0.25));
      if (meta.setting === chosen && trace.line) trace.line.width = 4;
    }
    return id === "load-versus-lag" ? traces.concat(priced) : traces;
  }

  function draw(id) {
    const place = document.getElementById(id);
    Plotly.react(place, tracesOf(id), layoutOf(pictures[id]), config);
    if (place.dataset.listening) return;
    place.dataset.listening = "yes";
    place.on("plotly_click", (event) => {
      const meta = event.points[0].data.meta || {};
      const setting = meta.settings ? meta.settings[event.points[0].pointIndex] : meta.setting;
      if (setting !== undefined) choose(setting === chosen ? null : setting);
    });
  }

  const drawAll = () => Object.keys(pictures).forEach(draw);

  /* Following a setting: every button of it is pressed, every row of it marked, other lines fade. */
  function choose(setting) {
    chosen = setting;
    for (const button of all("[data-pick]")) {
      button.setAttribute("aria-pressed", String(setting !== null && button.dataset.pick === String(setting)));
      if (button.dataset.pick === "") button.hidden = setting === null;
    }
    for (const row of all("[data-setting]")) {
      row.classList.toggle("chosen", setting !== null && row.dataset.setting === String(setting));
    }
    const name = setting === null ? null : document.querySelector(`[data-pick="${setting}"] .name`).textContent;
    say(name === null ? "All settings are shown alike." : `Following ${name}.`);
    drawAll();
  }

  for (const button of all("[data-pick]")) {
    button.addEventListener("click", () => {
      const setting = button.dataset.pick === "" ? null : Number(button.dataset.pick);
      choose(setting === chosen ? null : setting);
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && chosen !== null) choose(null);
  });

  for (const button of all("[data-variant]")) {
    button.addEventListener("click", () => {
      variants[button.dataset.of] = Number(button.dataset.variant);
      for (const other of all(`[data-of="${button.dataset.of}"]`)) {
        other.setAttribute("aria-pressed", String(other === button));
      }
      draw(button.dataset.of);
    });
  }

  /* Sorting: by number where there is one; what is unknown comes last either way. */
  for (const table of all("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      const button = heading.querySelector("button");
      if (!button) return;
      button.addEventListener("click", () => {
        const falling = heading.getAttribute("aria-sort") === "ascending";
        headings.forEach((each) => each.hasAttribute("aria-sort") && each.setAttribute("aria-sort", "none"));
        heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
        const value = (row) => row.cells[column].dataset.value;
        const rows = [...table.tBodies[0].rows].sort((a, b) => {
          if (value(a) === "" || value(b) === "") return (value(a) === "") - (value(b) === "");
          return (value(a) - value(b)) * (falling ? -1 : 1);
        });
        table.tBodies[0].append(...rows);
        say(`Sorted by ${button.textContent}, ${falling ? "falling" : "rising"}.`);
      });
    });
  }

  /* Copying: the clipboard where the browser gives it to files, else by selecting. */
  async function copied(text, code) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      return document.execCommand("copy");
    }
  }
  for (const button of all(".copier")) {
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      const done = await copied(code.textContent, code);
      button.textContent = done ? "Copied" : "Press Ctrl+C";
      say(button.textContent);
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  /* What if: with a request worth c seconds of waiting, the least c * polls + lag is best. */
  const seconds = (value) => (value >= 1 || value === 0 ? `${+value.toPrecision(3)}\u00a0s` : `${+(value * 1000).toPrecision(3)}\u00a0ms`);
  const digits = (value) => String(+value.toPrecision(3));

  function bestAt(price) {
    const cost = (each) => price * each.polls + each.lag;
    const least = (list) => list.reduce((a, b) => (cost(b) < cost(a) ? b : a));
    const limit = whatIf.curve.length ? least(whatIf.curve) : null;
    return {setting: least(whatIf.settings), limit, cost};
  }

  /* Prices from where the dearest setting in requests wins to where the cheapest does, and some beyond. */
  function prices() {
    const found = [];
    for (const a of whatIf.settings) {
      for (const b of whatIf.settings) {
        if (a.polls > b.polls && a.lag < b.lag) found.push((b.lag - a.lag) / (a.polls - b.polls));
      }
    }
    const one = whatIf.settings[0];
    if (!found.length) found.push(one.lag / one.polls || 1);
    return [Math.log(Math.min(...found) / 4), Math.log(Math.max(...found) * 4)];
  }

  function weigh(input, [low, high]) {
    const price = Math.exp(low + (high - low) * input.value / 100);
    const {setting, limit, cost} = bestAt(price);
    let text = `If saving one status request is worth waiting ${seconds(price)}, ${setting.name} is the best setting tried: `
      + `${digits(setting.polls)} polls per job, known ${seconds(setting.lag)} after the end on average.`;
    if (limit) {
      const more = Math.round((cost(setting) / cost(limit) - 1) * 1000) / 10;
      text += ` ${whatIf.best} ${digits(limit.polls)} ${limit.polls === 1 ? "poll" : "polls"} for ${seconds(limit.lag)}`
        + (limit.delays ? `, waiting ${limit.delays.join(", ")}` : "")
        + `; ${setting.name} costs ${digits(Math.abs(more))}\u00a0% ${more < 0 ? "less" : "more"} than that.`;
    }
    text += " In the picture: a ring around the one, a diamond at the other, and a thin line through all that is as good as the one.";
    const place = document.getElementById("priced");
    place.textContent = text;
    if (limit) {
      const command = document.createElement("code");
      command.textContent = `python -m harness plan scenario.yaml --cost ${+price.toPrecision(3)}`;
      place.append(" Find it with ", command, ".");
    }
    input.setAttribute("aria-valuetext", `${seconds(price)} of waiting for a request: ${setting.name}`);
    const ring = {type: "scatter", mode: "markers", hoverinfo: "skip", showlegend: false, cliponaxis: false};
    const open = (symbol, size) => ({symbol, size, color: "rgba(0,0,0,0)", line: {color: colour("--ink"), width: 2}});
    priced = [Object.assign({}, ring, {x: [setting.polls], y: [setting.lag], name: "best tried", marker: open("circle", 24)})];
    if (limit) priced.push(Object.assign({}, ring, {x: [limit.polls], y: [limit.lag], name: "best possible", marker: open("diamond", 16)}));
    const total = cost(setting), most = Math.min(total / price * 0.999, Math.max(...whatIf.settings.map((each) => each.polls)) * 1.4);
    const least = Math.min(...whatIf.settings.map((each) => each.polls)) / 1.4;
    const x = Array.from({length: 40}, (_, i) => least * (most / least) ** (i / 39)).filter((polls) => total - price * polls > 0);
    priced.push({type: "scatter", mode: "lines", name: "equally good", hoverinfo: "skip", showlegend: false,
      x, y: x.map((polls) => total - price * polls), line: {color: colour("--ink"), width: 1}});
    draw("load-versus-lag");
  }

  const box = document.getElementById("what-if");
  if (box && whatIf) {
    const input = document.getElementById("price"), range = prices();
    box.hidden = false;
    input.addEventListener("input", () => weigh(input, range));
    weigh(input, range);
  }

  drawAll();
  const redraw = () => { if (box && whatIf) weigh(document.getElementById("price"), prices()); drawAll(); };
  for (const query of ["(prefers-color-scheme: dark)", "print", "(max-width: 599px)"]) {
    window.matchMedia(query).addEventListener("change", redraw);
  }
})();
