// Optional: the pages are complete without it. Times become relative, with the exact time as a tooltip.
"use strict";

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];
const ago = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
function relativeTimes() {
  for (const time of document.querySelectorAll("time")) {
    const date = new Date(time.dateTime);
    if (Number.isNaN(date.getTime())) continue;
    const seconds = (Date.now() - date) / 1000;
    const [unit, length] = UNITS.find(([, length]) => seconds >= length) || ["minute", 60];
    time.title = date.toLocaleString();
    time.textContent = seconds < 60 ? "just now" : seconds > 30 * 86400
      ? date.toLocaleDateString() : ago.format(-Math.floor(seconds / length), unit);
  }
}
relativeTimes();
setInterval(relativeTimes, 60000);
window.addEventListener("times", relativeTimes);
