// While a promotion runs, check again every second; without scripts, a link does the same.
"use strict";

if (document.querySelector("[data-running]")) setTimeout(() => location.reload(), 1000);
