"use strict";
const steps = JSON.parse(document.getElementById("steps").textContent);
const slider = document.getElementById("distance");
const show = (id, text) => { const place = document.getElementById(id); if (place) place.textContent = text; };
const distanceOf = (item) => Number(item.dataset.distance);

function choose(step) {
  const number = Number(step.distance.toPrecision(4));
  show("shown", number);
  show("value", number);
  for (const key of ["pairs", "excluded", "leaks"]) show(key, step[key].toLocaleString("en"));
  for (const section of document.querySelectorAll(".pairs")) {
    const [within, beyond] = [section.querySelector(".within"), section.querySelector(".beyond")];
    if (!within) continue;
    const items = [...section.querySelectorAll("li")].sort((one, other) => distanceOf(one) - distanceOf(other));
    const count = items.filter((item) => distanceOf(item) <= step.distance).length;
    within.replaceChildren(...items.slice(0, count).reverse());
    beyond.replaceChildren(...items.slice(count));
  }
}

slider.addEventListener("input", () => choose(steps[slider.value]));
for (const button of document.querySelectorAll(".more")) {
  button.addEventListener("click", () => button.parentElement.querySelector("ol").classList.add("all"));
}
