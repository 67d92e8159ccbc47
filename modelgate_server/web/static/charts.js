// Interactive charts in the place of the static ones, drawn by uPlot: zoom, exact values, a logarithmic scale, smoothing,
// another axis; live while a run logs. The pages are whole without this file, but for what the machine did.
"use strict";
(() => {
  // Of more charts than these, what stands before a slash in their names becomes a heading.
  const FEW_CHARTS = 6;
  const COLOURS = 8, REFRESH_MS = 3000, MAX_WAIT_MS = 60000, HEIGHT = 190;
  const AXES = { _step: "step", _runtime: "time since the start", _timestamp: "date and time" };
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const short = (axis) => AXES[axis] || axis.split("/").pop();
  const exact = (value) => value == null ? "–" : String(Number(value.toPrecision(10)));
  const seconds = (value) => value < 60 ? `${+value.toFixed(1)} s` : value < 3600
    ? `${+(value / 60).toFixed(1)} min` : `${+(value / 3600).toFixed(2)} h`;
  const written = (axis) => axis === "_runtime" ? seconds : axis === "_timestamp"
    ? (value) => new Date(value * 1000).toLocaleString() : exact;

  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  // [{name, xs, ys}] as uPlot's columns. Where an x occurs twice in a line (a ROC curve), each point has a row of its own.
  function aligned(series) {
    const lines = series.map(({ xs, ys }) => {
      const rows = xs.map((x, i) => [x, ys[i]]).filter(([x, y]) => x != null && y != null);
      if (rows.length > 1 && rows[0][0] > rows[rows.length - 1][0]) rows.reverse();
      return rows.sort((a, b) => a[0] - b[0]);
    });
    if (lines.every((rows) => new Set(rows.map(([x]) => x)).size === rows.length)) {
      return uPlot.join(lines.map((rows) => [rows.map(([x]) => x), rows.map(([, y]) => y)]));
    }
    const every = lines.flatMap((rows, line) => rows.map(([x, y]) => [x, y, line])).sort((a, b) => a[0] - b[0]);
    return [every.map(([x]) => x), ...lines.map((_, line) => every.map((row) => row[2] === line ? row[1] : null))];
  }

  // An exponential moving average that does not begin at zero, as TensorBoard has it.
  function smoothed(ys, weight) {
    let sum = 0, share = 0;
    return ys.map((y) => {
      if (y == null) return null;
      sum = sum * weight + y * (1 - weight);
      share = share * weight + (1 - weight);
      return sum / share;
    });
  }

  // The nearest row in which a line has a value: hovering between two of its points says one of them.
  function nearest(plot, line, at) {
    const ys = plot.data[line];
    for (let far = 0; far < ys.length; far++) {
      if (ys[at - far] != null) return at - far;
      if (ys[at + far] != null) return at + far;
    }
    return at;
  }

  class Chart {
    // `content` is {x, y, dots, axis, series}; `zoomed(low, high)` is called when somebody zooms in, without values on the way out.
    constructor(figure, title, zoomed = () => {}) {
      this.figure = figure;
      this.title = title;
      this.zoomed = zoomed;
      this.last = make("output");
      this.host = make("div", { className: "plot" });
      figure.replaceChildren(make("figcaption", {}, make("span", { textContent: title }), this.last), this.host);
      figure.tabIndex = 0;
      figure.addEventListener("keydown", (event) => this.key(event));
      new ResizeObserver(() => this.plot && this.plot.setSize(this.size())).observe(this.host);
    }

    size() {
      return { width: Math.max(this.host.clientWidth, 120), height: HEIGHT };
    }

    show(content, { log = false, smoothing = 0 } = {}) {
      const range = this.isZoomed && content.axis === this.axis ? { ...this.plot.scales.x } : null;
      const columns = aligned(content.series);
      if (log) for (const ys of columns.slice(1)) ys.forEach((y, i) => { if (!(y > 0)) ys[i] = null; });
      const isLog = log && columns.slice(1).some((ys) => ys.some((y) => y > 0));
      const lines = [], data = [columns[0]];
      content.series.forEach(({ name, colour }, i) => {
        const stroke = css(`--c${(colour ?? i) % COLOURS}`), ys = columns[i + 1];
        const line = {
          label: name || content.y || this.title, stroke, width: 1.6, spanGaps: true, value: (_, y) => exact(y),
          points: { fill: css("--paper") },
          ...(content.dots ? { paths: () => null, points: { show: true, size: 5, fill: stroke } } : {}),
        };
        if (!content.dots && smoothing > 0) {
          lines.push({ ...line, label: `${line.label}, as logged`, stroke: `${stroke}55`, width: 1 });
          data.push(ys);
          lines.push({ ...line, width: 2 });
          data.push(smoothed(ys, smoothing));
        } else {
          lines.push(line);
          data.push(ys);
        }
      });
      this.axis = content.axis;
      this.ends = [data[0][0], data[0][data[0].length - 1]];
      // A chart that only grew keeps its cursor and its zoom.
      const shape = JSON.stringify([content.axis, isLog, lines.map(({ label, stroke }) => [label, stroke])]);
      if (this.plot && shape === this.shape) this.plot.setData(data, !this.isZoomed);
      else this.draw(content, lines, data, isLog, range);
      this.shape = shape;
      const values = content.series.map(({ name, ys }) => [name, ys.filter((y) => y != null).pop()]);
      this.last.textContent = values.length === 1 && !content.title ? exact(values[0][1]) : "";
      const said = values.slice(0, 8).map(([name, value]) => `${name ? `${name}: ` : ""}last ${exact(value)}`).join("; ");
      this.figure.setAttribute("aria-label", `${this.title} over ${content.x}. ${said}. Arrow keys read values, plus and minus zoom.`);
    }

    draw(content, lines, data, isLog, range) {
      const axis = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 } };
      const write = written(content.axis);
      const fit = (plot, values) => 16 + 6.6 * Math.max(...(values || [""]).map((value) => String(value ?? "").length));
      if (this.plot) this.plot.destroy();
      this.isZoomed = false;
      this.plot = new uPlot({
        ...this.size(), padding: [10, 12, 0, 0],
        scales: { x: { time: content.axis === "_timestamp" }, y: { distr: isLog ? 3 : 1 } },
        axes: [
          { ...axis, label: content.x, labelSize: 16, labelFont: "11px system-ui", size: 26, font: "11px system-ui",
            ...(content.axis === "_runtime" ? { values: (_, marks) => marks.map(seconds) } : {}) },
          { ...axis, size: fit, font: "11px system-ui",
            ...(isLog ? {} : { values: (_, marks) => marks.map((mark) => Number(mark.toPrecision(6)).toString()) }) },
        ],
        series: [{ label: content.x || "x", value: (_, x) => x == null ? "–" : write(x) }, ...lines],
        cursor: { dataIdx: (plot, line, at) => line ? nearest(plot, line, at) : at, focus: { prox: 20 } },
        hooks: { setScale: [(plot, name) => { if (name === "x") this.scaled(plot); }] },
      }, data, this.host);
      if (range) this.plot.setScale("x", { min: range.min, max: range.max });
    }

    // After a drag, a key or a double click: the whole range is no zoom.
    scaled(plot) {
      if (!this.ends) return;
      const { min, max } = plot.scales.x, [first, last] = this.ends;
      const isZoomed = min > first || max < last;
      if (isZoomed === this.isZoomed && !isZoomed) return;
      this.isZoomed = isZoomed;
      if (isZoomed) this.zoomed(min, max); else this.zoomed();
    }

    // More points of a part, or all again; the view stays.
    fill(series) {
      if (!this.plot || this.plot.series.length !== series.length + 1) return;
      this.plot.setData(aligned(series), false);
      this.plot.redraw();
    }

    key(event) {
      const plot = this.plot, xs = plot && plot.data[0];
      if (!xs || event.target !== this.figure) return;
      const steps = { ArrowLeft: -1, ArrowRight: 1 };
      const { min, max } = plot.scales.x;
      if (event.key in steps) {
        const at = Math.min(Math.max((plot.cursor.idx ?? -1) + steps[event.key], 0), xs.length - 1);
        plot.setCursor({ left: plot.valToPos(xs[at], "x"), top: plot.over.clientHeight / 2 });
      } else if (event.key === "+" || event.key === "-") {
        const middle = plot.cursor.idx == null ? (min + max) / 2 : xs[plot.cursor.idx];
        const half = (max - min) * (event.key === "+" ? 0.25 : 1);
        plot.setScale("x", { min: Math.max(middle - half, this.ends[0]), max: Math.min(middle + half, this.ends[1]) });
      } else if (event.key === "0" || event.key === "Escape") {
        plot.setScale("x", { min: this.ends[0], max: this.ends[1] });
      } else return;
      event.preventDefault();
    }
  }

  // All charts of a page's part: one question to the server, one row of controls. The choice is kept in the address.
  class Section {
    constructor(host) {
      this.host = host;
      this.charts = new Map();
      const chosen = new URLSearchParams(location.search);
      this.x = chosen.get("x") || "";
      this.named = chosen.get("metrics") || "";
      this.log = chosen.get("log") === "1";
      this.smoothing = Math.min(Math.max(Number(chosen.get("smooth")) || 0, 0), 0.99);
    }

    async load() {
      const answer = await fetch(this.host.dataset.series, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(answer.statusText);
      const text = await answer.text();
      if (text !== this.text) {
        this.text = text;
        this.content = JSON.parse(text);
        this.show();
      }
      return this.content;
    }

    controls() {
      const axes = make("select", {}, make("option", { value: "", textContent: "as defined" }));
      this.content.axes.forEach((axis) => axes.append(make("option", { value: axis, textContent: short(axis) })));
      axes.value = this.x;
      const log = make("input", { type: "checkbox", checked: this.log });
      const smoothing = make("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: this.smoothing });
      const level = make("output", { textContent: this.smoothing || "off" });
      axes.addEventListener("change", () => { this.x = axes.value; this.changed(); });
      log.addEventListener("change", () => { this.log = log.checked; this.changed(); });
      smoothing.addEventListener("input", () => {
        this.smoothing = Number(smoothing.value);
        level.textContent = this.smoothing || "off";
        this.changed();
      });
      const named = make("input", { type: "search", value: this.named, placeholder: "all", size: 12 });
      named.addEventListener("input", () => { this.named = named.value; this.changed(); });
      const form = make("form", { className: "controls" },
        make("label", {}, "Metrics ", named), make("label", {}, "Axis ", axes), make("label", {}, log, " Log scale"),
        make("label", {}, "Smoothing ", smoothing, " ", level),
        make("span", { className: "soft small", textContent: "Drag to zoom in, double-click to zoom out." }));
      form.addEventListener("submit", (event) => event.preventDefault());
      return form;
    }

    changed() {
      const address = new URL(location.href);
      const values = { metrics: this.named, x: this.x, log: this.log ? "1" : "", smooth: this.smoothing ? String(this.smoothing) : "" };
      for (const [name, value] of Object.entries(values)) {
        if (value) address.searchParams.set(name, value); else address.searchParams.delete(name);
      }
      history.replaceState(null, "", address);
      this.show();
    }

    show() {
      let place = this.host.querySelector(".charts");
      if (!place && this.content.charts.length) {
        place = make("div", { className: "charts" });
        this.host.append(make("section", { className: "card" }, make("h2", { textContent: "History" }), place));
      }
      if (!place) return;
      if (!this.bar) {
        this.bar = this.controls();
        place.before(this.bar);
        place.replaceChildren();
      }
      if (!this.content.charts.length) place.replaceChildren(make("p", { className: "empty", textContent: "No metric was logged yet." }));
      else place.querySelectorAll(".empty").forEach((words) => words.remove());
      for (const [key, axis] of this.content.charts) {
        const content = this.of(this.content, key, axis);
        if (!content.series.length) continue;
        const isWanted = key.toLowerCase().includes(this.named.toLowerCase());
        if (this.charts.has(key)) this.charts.get(key).figure.hidden = !isWanted;
        if (!isWanted) continue;
        if (!this.charts.has(key)) {
          const group = key.includes("/") ? key.slice(0, key.lastIndexOf("/")) : "";
          if (this.content.charts.length > FEW_CHARTS && !this.named && group !== this.group) {
            place.append(make("h3", { className: "group", textContent: group || "others" }));
          }
          this.group = group;
          const figure = make("figure", { className: "chart" });
          place.append(figure);
          this.charts.set(key, new Chart(figure, key, (low, high) => this.zoomed(key, low, high)));
        }
        this.charts.get(key).show(content, { log: this.log, smoothing: this.smoothing });
      }
    }

    of({ runs }, key, defined) {
      const axis = this.x && runs.some(({ columns }) => columns[this.x]) ? this.x : defined;
      const series = [];
      runs.forEach(({ label, columns }, colour) => {
        if (columns[key] && columns[axis]) {
          series.push({ name: runs.length > 1 ? label : "", xs: columns[axis], ys: columns[key], colour });
        }
      });
      return { x: short(axis), y: key, axis, series };
    }

    // Where not every row was sent, the part that is looked at is asked for again.
    async zoomed(key, low, high) {
      const chart = this.charts.get(key), [, defined] = this.content.charts.find(([name]) => name === key);
      if (chart.axis !== "_step" || this.smoothing || this.log) return;
      if (!this.content.runs.some(({ rows, columns }) => rows > (columns._step || []).length)) return;
      const address = new URL(this.host.dataset.series, location.href);
      if (low !== undefined) {
        address.searchParams.set("from", Math.max(Math.floor(low), 0));
        address.searchParams.set("to", Math.ceil(high) + 1);
      }
      const answer = await fetch(address);
      if (answer.ok) chart.fill(this.of(await answer.json(), key, defined).series);
    }
  }

  // What was drawn by the server from a table keeps its SVG where the numbers are not for lines.
  function upgrade(figure) {
    const content = JSON.parse(figure.dataset.chart), title = content.title;
    const series = content.series.map(([name, xs, ys]) => ({ name, xs, ys }));
    new Chart(figure, title).show({ ...content, axis: content.x, series });
  }

  // Swap the parts of the page that a run goes on writing; who reads at the console's end stays there.
  async function refresh() {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = fresh.getElementById(part.id);
      if (!other || other.innerHTML === part.dataset.shown || part.contains(document.activeElement)) continue;
      const before = part.querySelector(".console");
      const follow = !before || before.scrollHeight - before.scrollTop - before.clientHeight < 40;
      const scrolled = before ? before.scrollTop : 0;
      const open = new Set([...part.querySelectorAll("details[open] > summary")].map((summary) => summary.textContent));
      const shown = other.innerHTML;
      part.replaceChildren(...document.adoptNode(other).childNodes);
      part.dataset.shown = shown;
      part.querySelectorAll("details > summary").forEach((summary) => { summary.parentElement.open = open.has(summary.textContent); });
      const after = part.querySelector(".console");
      if (after) after.scrollTop = follow ? after.scrollHeight : scrolled;
      part.querySelectorAll("[data-chart]").forEach(upgrade);
      window.dispatchEvent(new Event("times"));
    }
  }

  async function follow(section) {
    let wait = REFRESH_MS, isRunning = true;
    while (isRunning) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      if (document.hidden) continue;
      try {
        isRunning = (await section.load()).runs.some(({ state }) => state === "running");
        await refresh();
        wait = REFRESH_MS;
      } catch {
        wait = Math.min(wait * 2, MAX_WAIT_MS); // the server is away; it may come back
      }
    }
    section.host.removeAttribute("data-running");
  }

  const sections = [];
  for (const host of document.querySelectorAll("[data-series]")) {
    const section = new Section(host), begin = () => section.load().catch(() => {});
    sections.push(section);
    if (host.tagName === "DETAILS") host.addEventListener("toggle", begin, { once: true });
    else begin().then(() => { if ("running" in host.dataset) follow(section); });
  }
  document.querySelectorAll("[data-chart]").forEach((figure) => { if (!figure.closest("[data-series]")) upgrade(figure); });
  const end = document.querySelector(".console");
  if (end) end.scrollTop = end.scrollHeight;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    sections.forEach((section) => section.content && section.show());
    document.querySelectorAll("figure[data-chart]").forEach((figure) => { if (!figure.closest("[data-series]")) upgrade(figure); });
  });
})();
