// Parts that the served pages share: elements, numbers, and requests with the token of the page.

export const data = JSON.parse(document.querySelector(".page-data").textContent);

export const number = (value) => value.toLocaleString("en");

export const counted = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Return an image of the server; small ones keep their pixels. */
export function picture(place, alt = "") {
  const made = element("img", { alt, decoding: "async", loading: "lazy", draggable: false, src: `images/${place}?${data.version}` });
  made.addEventListener("load", () => made.classList.toggle("small", Math.max(made.naturalWidth, made.naturalHeight) <= 64));
  return made;
}

/** Return the answer of the server; throw an Error with a remedy, and the `status`, if there is none. */
export async function send(path, options = {}) {
  const headers = { [data.token[0]]: data.token[1] };
  let response;
  try {
    response = await fetch(path, { headers, ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer; is it still running? Nothing was changed.");
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const problem = answer.error ?? (response.status === 503 ? "The server is busy; try again." : response.statusText);
  throw Object.assign(new Error(problem), { status: response.status });
}
