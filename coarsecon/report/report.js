"use strict";
for (const box of document.querySelectorAll(".report input.series")) {
  const show = () => {
    for (const line of document.querySelectorAll(`.report .chart [data-series="${box.value}"]`)) {
      line.classList.toggle("off", !box.checked);
    }
  };
  box.addEventListener("change", show);
  show(); // browsers keep the state of checkboxes on reload
}
