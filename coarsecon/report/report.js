"use strict";
for (const box of document.querySelectorAll(".report input.series")) {
  const show = () => {
    for (const line of document.querySelectorAll(`.report .chart [data-series="${box.value}"]`)) {
      line.classList.toggle("off", !box.checked);
    }
  };
  box.addEventListener("change", show);
  show(); // a browser keeps the boxes as they were when the page is loaded again
}
