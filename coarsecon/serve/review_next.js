// Questions about single images: the most useful ones to label next.

import { element, picture, send } from "./common.js";

/** Show the next questions in `list`; `answer(operation, text)` makes a change and returns whether it was made. */
export async function showQuestions(list, more, answer) {
  const { images } = await send("suggestions");
  let left = images.length;
  const settled = () => { left -= 1; more.hidden = left > 0; };
  more.hidden = true;
  list.replaceChildren(...images.map((image) => question(image, answer, settled)));
  if (!images.length) list.append(element("li", { className: "empty", textContent: "Nothing to ask: every image is checked, or its class has a single cluster." }));
}

function question(image, answer, settled) {
  const verdict = element("p", { className: "verdict" });
  const options = element("div", { className: "options" });
  const made = element("li", {}, element("span", { className: "frame" }, picture(image.image, image.path)),
    element("div", { className: "ask" }, element("p", { className: "path", textContent: image.path }),
      element("p", { className: "coarse", textContent: `${image.cluster.coarse}; now in ${image.cluster.title}` }), options, verdict));
  const choose = async (operation, text) => {
    if (!(await answer(operation, text))) return;
    made.classList.add("settled");
    verdict.textContent = text;
    options.remove();
    const next = made.parentElement.querySelector("li:not(.settled) button");
    settled();
    (next ?? document.querySelector(".next-more")).focus();
  };
  const button = (text, label, operation, done) => {
    const one = element("button", { type: "button", textContent: text });
    one.setAttribute("aria-label", `${label}: ${image.path}`);
    one.addEventListener("click", () => choose(operation, done));
    options.append(one);
    return one;
  };
  for (const each of image.options) {
    const text = `${each.title} ${Math.round(100 * each.probability)}%`;
    button(text, each.title, { op: "move", images: [image.image], cluster: each.cluster }, each.title)
      .classList.toggle("current", each.cluster === image.cluster.cluster);
  }
  button("New cluster", "New cluster", { op: "move", images: [image.image], cluster: null }, "New cluster");
  button("Exclude", "Exclude", { op: "exclude", images: [image.image] }, "Excluded");
  made.addEventListener("keydown", (event) => {
    const one = /^[1-3]$/.test(event.key) && options.children[Number(event.key) - 1];
    if (one && Number(event.key) <= image.options.length) one.click();
  });
  return made;
}
