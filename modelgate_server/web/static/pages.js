// Two comforts; the pages are whole without them. Times become local, and a chart says its values where one points.
"use strict";

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];
const ago = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
for (const time of document.querySelectorAll("time")) {
  const date = new Date(time.dateTime);
  if (Number.isNaN(date.getTime())) continue;
  const seconds = (Date.now() - date) / 1000;
  const [unit, length] = UNITS.find(([, length]) => seconds >= length) || ["minute", 60];
  time.title = date.toLocaleString();
  time.textContent = seconds < 60 ? "just now" : seconds > 30 * 86400
    ? date.toLocaleDateString() : ago.format(-Math.floor(seconds / length), unit);
}

for (const chart of document.querySelectorAll(".chart")) {
  const svg = chart.querySelector("svg"), value = chart.querySelector("output"), here = chart.querySelector(".here");
  const points = JSON.parse(svg.dataset.points), last = value.textContent;
  const leave = () => { value.textContent = last; here.setAttribute("visibility", "hidden"); };
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
    const near = points.reduce((best, point) => Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best);
    here.setAttribute("cx", near[0]);
    here.setAttribute("cy", near[1]);
    here.setAttribute("visibility", "visible");
    value.textContent = `${svg.dataset.axis} ${near[2]}: ${near[3]}`;
  });
}
