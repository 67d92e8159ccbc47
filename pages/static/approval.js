// While a promotion runs, look again each second; without scripts there is a link that does the same.
"use strict";

if (document.querySelector("[data-running]")) setTimeout(() => location.reload(), 1000);
