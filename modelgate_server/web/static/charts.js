// Interactive charts with uPlot, which replace the static ones: zoom, exact values, a logarithmic scale, smoothing,
// another axis, a choice of metrics; live while a run logs. Without this file, only the charts of system metrics are
// missing.
"use strict";
(() => {
  // With more charts than this, the part of a name before a slash becomes a heading.
  const FEW_CHARTS = 6;
  const COLOURS = 8, REFRESH_MS = 3000, MAX_WAIT_MS = 60000, HEIGHT = 190, LARGE_HEIGHT = 460;
  const PER_ROW = ["1", "2", "3"];
  const AXES = { _step: "step", _runtime: "time since the start", _timestamp: "date and time" };
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const short = (axis) => AXES[axis] || axis.split("/").pop();
  const exact = (value) => value == null ? "–" : String(Number(value.toPrecision(10)));
  const brief = (value) => value == null ? "–" : String(Number(value.toPrecision(5)));
  const seconds = (value) => value < 60 ? `${+value.toFixed(1)} s` : value < 3600
    ? `${+(value / 60).toFixed(1)} min` : `${+(value / 3600).toFixed(2)} h`;
  const FONT = "11px system-ui";
  const ruler = make("canvas").getContext("2d");
  const widest = (labels) => {
    ruler.font = FONT;
    return Math.max(0, ...labels.flatMap((label) => String(label ?? "").split("\n")).map((line) => ruler.measureText(line).width));
  };
  // Use as few digits as distinguish the ticks of an axis.
  function distinct(marks) {
    for (let digits = 4; ; digits++) {
      const labels = marks.map((mark) => Number(mark.toPrecision(digits)).toString());
      if (digits === 15 || new Set(labels).size === labels.length) return labels;
    }
  }
  // A case-insensitive pattern; text that is not a pattern is searched literally.
  function pattern(text) {
    try { return new RegExp(text, "i"); } catch { return null; }
  }
  function matching(text) {
    const found = pattern(text);
    return found ? (key) => found.test(key) : (key) => key.toLowerCase().includes(text.toLowerCase());
  }
  const written = (axis) => axis === "_runtime" ? seconds : axis === "_timestamp"
    ? (value) => new Date(value * 1000).toLocaleString() : exact;

  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  // [{name, xs, ys}] as uPlot's columns. If an x occurs twice in a line (a ROC curve), each point has its own row.
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

  // An exponential moving average that does not start at zero, like TensorBoard's.
  function smoothed(ys, weight) {
    let sum = 0, share = 0;
    return ys.map((y) => {
      if (y == null) return null;
      sum = sum * weight + y * (1 - weight);
      share = share * weight + (1 - weight);
      return sum / share;
    });
  }

  // The nearest row in which a line has a value, so that hovering between two points shows one of them.
  function nearest(plot, line, at) {
    const ys = plot.data[line];
    for (let far = 0; far < ys.length; far++) {
      if (ys[at - far] != null) return at - far;
      if (ys[at + far] != null) return at + far;
    }
    return at;
  }

  class Chart {
    // `content` is {x, y, dots, axis, series}; `zoomed(low, high)` is called after a zoom in, and without values after
    // a zoom out.
    constructor(figure, title, zoomed = () => {}) {
      this.figure = figure;
      this.title = title;
      this.zoomed = zoomed;
      this.last = make("output");
      this.host = make("div", { className: "plot" });
      const enlarge = make("button", { type: "button", className: "plain", textContent: "⤢", ariaLabel: `Enlarge ${title}`, ariaPressed: "false" });
      enlarge.addEventListener("click", () => {
        enlarge.ariaPressed = String(figure.classList.toggle("large"));
        this.plot.setSize(this.size());
        figure.scrollIntoView({ block: "nearest" });
      });
      const save = make("button", { type: "button", className: "plain", textContent: "CSV", ariaLabel: `Save the points of ${title} as CSV` });
      save.addEventListener("click", () => this.save());
      const tools = make("span", { className: "tools" }, enlarge, save);
      figure.replaceChildren(make("figcaption", {}, make("span", { textContent: title }), this.last, tools), this.host);
      figure.tabIndex = 0;
      figure.addEventListener("keydown", (event) => this.key(event));
      new ResizeObserver(() => this.plot && this.plot.setSize(this.size())).observe(this.host);
    }

    size() {
      return { width: Math.max(this.host.clientWidth, 120), height: this.figure.classList.contains("large") ? LARGE_HEIGHT : HEIGHT };
    }

    // The points as they were sent: smoothing or hiding them on the chart does not change the file.
    save() {
      const names = this.content.series.map(({ name }) => name || this.content.y || this.title);
      // A spreadsheet reads text that begins with one of these as a formula.
      const cell = (text) => `"${/^[=+\-@\t\r]/.test(text) ? "'" : ""}${text.replaceAll('"', '""')}"`;
      const columns = aligned(this.content.series);
      const rows = columns[0].map((_, row) => columns.map((values) => values[row] ?? "").join(","));
      const text = [[this.content.x || "x", ...names].map(cell).join(","), ...rows].join("\n") + "\n";
      const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
      make("a", { href: url, download: `${this.title.replace(/[^\w.-]+/g, "_")}.csv` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60000);
    }

    show(content, { log = false, logX = false, smoothing = 0 } = {}) {
      this.content = content;
      this.figure.classList.toggle("single", content.series.length === 1);
      const range = this.isZoomed && content.axis === this.axis ? { ...this.plot.scales.x } : null;
      let columns = aligned(content.series);
      const right = columns[0].map((x) => x > 0);
      const isLogX = logX && content.axis !== "_timestamp" && right.some(Boolean);
      if (isLogX) columns = columns.map((values) => values.filter((_, i) => right[i]));
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
      // A chart that only got more points keeps its cursor and its zoom.
      const shape = JSON.stringify([content.axis, isLog, isLogX, lines.map(({ label, stroke }) => [label, stroke])]);
      if (this.plot && shape === this.shape) {
        this.plot.setData(data, !this.isZoomed);
        if (this.plot.width !== this.size().width) this.plot.setSize(this.size());
      } else this.draw(content, lines, data, isLog, isLogX, range);
      this.shape = shape;
      const values = content.series.map(({ name, ys }) => [name, ys.filter((y) => y != null).pop()]);
      this.last.textContent = values.length === 1 && !content.title ? brief(values[0][1]) : "";
      const said = values.slice(0, 8).map(([name, value]) => `${name ? `${name}: ` : ""}last ${exact(value)}`).join("; ");
      this.figure.setAttribute("aria-label", `${this.title} over ${content.x}. ${said}. Arrow keys read values, plus and minus zoom.`);
    }

    draw(content, lines, data, isLog, isLogX, range) {
      const axis = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 } };
      const write = written(content.axis);
      const numbers = (_, marks) => distinct(marks);
      // The axis has ticks of 10 and a gap of 5; a label of the other axis may reach beyond its end.
      const fit = (_, labels) => Math.ceil(17 + widest(labels || []));
      const beyond = (end) => (plot) => {
        const [across, up] = plot.axes, place = isLogX ? Math.log10 : Number;
        const [min, max] = [plot.scales.x.min, plot.scales.x.max].map(place);
        if (!across._values || !across._values.length || !(max > min)) return end ? 12 : 0;
        const at = end ? across._splits.length - 1 : 0;
        const inside = (plot.width - up._size) * Math.abs(place(across._splits[at]) - (end ? max : min)) / (max - min);
        const margin = end ? 0 : up._size;
        return Math.max(Math.ceil(widest([across._values[at]]) / 2 - inside * 0.9 - margin) + 2, end ? 12 : 0);
      };
      if (this.plot) this.plot.destroy();
      this.isZoomed = false;
      this.plot = new uPlot({
        ...this.size(), padding: [10, beyond(true), 0, beyond(false)],
        scales: { x: { time: content.axis === "_timestamp", ...(isLogX ? { distr: 3, range: (_, low, high) => low < high ? [low, high] : [low / 2, high * 2] } : {}) }, y: { distr: isLog ? 3 : 1 } },
        axes: [
          { ...axis, label: content.x, labelSize: 16, labelFont: FONT, size: 26, font: FONT,
            ...(content.axis === "_runtime" ? { values: (_, marks) => marks.map((mark) => mark == null ? null : seconds(mark)) }
              : content.axis === "_timestamp" || isLogX ? {} : { values: numbers }) },
          { ...axis, size: fit, font: FONT, ...(isLog ? {} : { values: numbers }) },
        ],
        series: [{ label: content.x || "x", value: (_, x) => x == null ? "–" : write(x) }, ...lines],
        cursor: { dataIdx: (plot, line, at) => line ? nearest(plot, line, at) : at, focus: { prox: 20 } },
        hooks: { setScale: [(plot, name) => { if (name === "x") this.scaled(plot); }] },
      }, data, this.host);
      if (range) this.plot.setScale("x", { min: range.min, max: range.max });
    }

    // After a drag, a key or a double click: the whole range is not a zoom.
    scaled(plot) {
      if (!this.ends) return;
      const { min, max } = plot.scales.x, [first, last] = this.ends;
      const isZoomed = min > first || max < last;
      if (isZoomed === this.isZoomed && !isZoomed) return;
      this.isZoomed = isZoomed;
      if (isZoomed) this.zoomed(min, max); else this.zoomed();
    }

    // Get more points of a part, or all points again; the view stays.
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

  // All charts of one part of a page: one request to the server, one row of controls. The URL keeps the choice.
  class Section {
    constructor(host) {
      this.host = host;
      this.charts = new Map();
      const chosen = new URLSearchParams(location.search);
      this.x = chosen.get("x") || "";
      this.named = chosen.get("metrics") || "";
      this.log = chosen.get("log") === "1";
      this.logX = chosen.get("logx") === "1";
      this.perRow = PER_ROW.includes(chosen.get("perrow")) ? chosen.get("perrow") : "";
      this.smoothing = Math.min(Math.max(Number(chosen.get("smooth")) || 0, 0), 0.99);
    }

    async load() {
      if (!this.content) this.host.ariaBusy = "true";
      try {
        const answer = await fetch(this.host.dataset.series, { headers: { Accept: "application/json" } });
        if (!answer.ok) throw new Error(answer.statusText);
        const text = await answer.text();
        if (text !== this.text) {
          this.text = text;
          this.content = JSON.parse(text);
          if ("lines" in this.host.dataset) this.content.charts = this.content.charts.filter(([key]) => this.isLine(key));
          this.show();
        }
        return this.content;
      } finally {
        this.host.ariaBusy = null;
      }
    }

    // Whether a run logged the metric more than once.
    isLine(key) {
      return this.content.runs.some(({ columns }) => (columns[key] || []).filter((y) => y != null).length > 1);
    }

    controls() {
      const axes = make("select", {}, make("option", { value: "", textContent: "as defined" }));
      this.content.axes.forEach((axis) => axes.append(make("option", { value: axis, textContent: short(axis) })));
      axes.value = this.x;
      const log = make("input", { type: "checkbox", checked: this.log });
      const logX = make("input", { type: "checkbox", checked: this.logX });
      const perRow = make("select", {}, make("option", { value: "", textContent: "auto" }), ...PER_ROW.map((count) => make("option", { textContent: count })));
      perRow.value = this.perRow;
      const smoothing = make("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: this.smoothing });
      const level = make("output", { textContent: this.smoothing || "off" });
      axes.addEventListener("change", () => { this.x = axes.value; this.changed(); });
      log.addEventListener("change", () => { this.log = log.checked; this.changed(); });
      logX.addEventListener("change", () => { this.logX = logX.checked; this.changed(); });
      perRow.addEventListener("change", () => { this.perRow = perRow.value; this.changed(); });
      smoothing.addEventListener("input", () => {
        this.smoothing = Number(smoothing.value);
        level.textContent = this.smoothing || "off";
        this.changed();
      });
      const named = make("input", { type: "search", value: this.named, placeholder: "all, or loss|acc", size: 14, title: "A part of the names, or a regular expression" });
      named.addEventListener("input", () => {
        this.named = named.value;
        named.setAttribute("aria-invalid", String(!pattern(named.value)));
        this.changed();
      });
      const form = make("form", { className: "controls" },
        make("label", {}, "Metrics ", named), make("label", {}, "Axis ", axes), make("label", {}, log, " Log y"), make("label", {}, logX, " Log x"),
        make("label", {}, "Smoothing ", smoothing, " ", level), make("label", {}, "Per row ", perRow),
        make("span", { className: "soft small", textContent: "Drag to zoom in, double-click to zoom out." }));
      form.addEventListener("submit", (event) => event.preventDefault());
      return form;
    }

    changed() {
      const address = new URL(location.href);
      const values = { metrics: this.named, x: this.x, log: this.log ? "1" : "", logx: this.logX ? "1" : "", perrow: this.perRow, smooth: this.smoothing ? String(this.smoothing) : "" };
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
        const note = make("small", { textContent: this.host.dataset.note || "" });
        this.host.append(make("section", { className: "card" }, make("h2", {}, this.host.dataset.title || "History", " ", note), place));
      }
      if (!place) return;
      if (!this.bar) {
        this.bar = this.controls();
        place.before(this.bar);
        place.replaceChildren();
      }
      if (!this.content.charts.length) place.replaceChildren(make("p", { className: "empty", textContent: "No metric has been logged yet." }));
      else place.querySelectorAll(".empty").forEach((words) => words.remove());
      place.dataset.perRow = this.perRow;
      const wanted = matching(this.named);
      for (const [key, axis] of this.content.charts) {
        const content = this.of(this.content, key, axis);
        if (!content.series.length) continue;
        const isWanted = wanted(key);
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
        this.charts.get(key).show(content, { log: this.log, logX: this.logX, smoothing: this.smoothing });
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

    // If not every row was sent, request the visible part again.
    async zoomed(key, low, high) {
      const chart = this.charts.get(key), [, defined] = this.content.charts.find(([name]) => name === key);
      if (chart.axis !== "_step" || this.smoothing || this.log || this.logX) return;
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

  // A chart that the server drew from a table keeps its SVG if it has no lines.
  function upgrade(figure) {
    const content = JSON.parse(figure.dataset.chart), title = content.title;
    const series = content.series.map(([name, xs, ys]) => ({ name, xs, ys }));
    figure.drawn ??= new Chart(figure, title);
    figure.drawn.show({ ...content, axis: content.x, series });
  }

  // Replace the parts of the page that a run continues to write; a reader at the end of the console stays there.
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
        wait = Math.min(wait * 2, MAX_WAIT_MS); // the server does not answer; it may come back
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
  const upgradeAll = () => document.querySelectorAll("[data-chart]").forEach((figure) => { if (!figure.closest("[data-series]")) upgrade(figure); });
  upgradeAll();
  const end = document.querySelector(".console");
  if (end) end.scrollTop = end.scrollHeight;
  // Redraw in the colors of the other scheme, and on paper in its width.
  for (const query of ["(prefers-color-scheme: dark)", "print"]) {
    matchMedia(query).addEventListener("change", () => {
      sections.forEach((section) => section.content && section.show());
      upgradeAll();
    });
  }
})();
