// What a page can do beyond what the server has drawn: follow the log, show a chart's figures, zoom, pick a date.
"use strict";

const news = document.getElementById("news");

// ---- new events: the parts of the page that show the present are drawn anew by the server
// Once in a while is enough: a bot may append many times a second.
const REST_MS = 700;
let waiting = null;
let isDrawing = false;
let drawnAt = -REST_MS;

async function drawAnew() {
  if (isDrawing) {
    waiting = setTimeout(drawAnew, 200);
    return;
  }
  isDrawing = true;
  waiting = null;
  drawnAt = performance.now();
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
      if (!other || other.innerHTML === part.innerHTML) continue;
      const place = reachable(part).indexOf(document.activeElement);
      const address = place < 0 ? null : document.activeElement.getAttribute("href");
      const isOpen = [...part.querySelectorAll("details")].map((each) => each.open);
      part.replaceChildren(...other.childNodes);
      part.querySelectorAll("details").forEach((each, index) => { each.open = isOpen[index] || each.open; });
      if (place >= 0) refocus(part, place, address);
    }
    for (const chart of document.querySelectorAll(".chart")) watch(chart);
  } finally {
    isDrawing = false;
  }
}

const reachable = (part) => [...part.querySelectorAll("a, summary, [tabindex]")];

function refocus(part, place, address) {
  const found = reachable(part);
  const same = found.find((each) => address && each.getAttribute("href") === address) ?? found[place];
  same?.focus({ preventScroll: true });
}

let stream = null;
let seen = null;

function follow() {
  const address = document.body.dataset.stream;
  if (!address || stream) return;
  const url = new URL(address, location.href);
  if (seen) url.searchParams.set("from", seen + 1);
  stream = new EventSource(url);
  stream.addEventListener("appended", (event) => {
    seen = Number(event.lastEventId);
    const what = JSON.parse(event.data);
    const isPresent = document.querySelector("[data-live]:not([data-live=foot])");
    const text = `Version ${what.version}: ${what.type.replace("_", " ")}.`;
    news.replaceChildren(text);
    if (!isPresent) {
      const again = document.createElement("a");
      again.href = location.href;
      again.textContent = "Load the page again";
      news.append(" ", again);
    }
    news.classList.add("shown");
    waiting ??= setTimeout(drawAnew, Math.max(100, drawnAt + REST_MS - performance.now()));
  });
  stream.addEventListener("ended", () => rest());
}

function rest() {
  stream?.close();
  stream = null;
}

// A tab that nobody sees holds no connection; browsers allow few of them.
document.addEventListener("visibilitychange", () => (document.hidden ? rest() : follow()));
addEventListener("pagehide", rest);
addEventListener("pageshow", follow);
follow();

// ---- on a narrow screen the tabs scroll: the one that is open is in sight
const tab = document.querySelector("header nav [aria-current]");
if (tab) {
  const tabs = tab.closest("ul");
  tabs.scrollLeft = tab.offsetLeft - tabs.offsetLeft - (tabs.clientWidth - tab.offsetWidth) / 2;
}

// ---- the chart: the figures of the point that is pointed at; a period that is dragged over
function watch(chart) {
  const plot = chart.querySelector(".plot");
  const readout = chart.querySelector(".readout");
  if (!plot || plot.dataset.watched) return;
  plot.dataset.watched = "yes";
  const points = chart.dataset.points.split("|").map((text) => {
    const [x, at, equity, basis, gained] = text.split(";");
    return { x: Number(x), at, equity, basis, gained };
  });
  const cursor = document.createElement("div");
  cursor.className = "cursor";
  cursor.hidden = true;
  plot.append(cursor);
  let from = null;

  const nearest = (event) => {
    const box = plot.querySelector("svg").getBoundingClientRect();
    const place = Math.min(1000, Math.max(0, ((event.clientX - box.left) / box.width) * 1000));
    let found = points[0];
    for (const point of points) if (point.x <= place) found = point;
    return { found, place, box };
  };
  const left = (box, place) => box.left - plot.getBoundingClientRect().left + (place / 1000) * box.width;

  plot.addEventListener("pointermove", (event) => {
    const { found, place, box } = nearest(event);
    readout.textContent =
      `${found.at}: equity ${found.equity}, net basis ${found.basis}, equity − net basis ${found.gained}`;
    cursor.hidden = false;
    const start = from ? Math.min(from.place, place) : found.x;
    cursor.style.left = `${left(box, start)}px`;
    cursor.style.width = from ? `${(Math.abs(place - from.place) / 1000) * box.width}px` : "1px";
  });
  plot.addEventListener("pointerleave", () => { cursor.hidden = true; from = null; });
  plot.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button === 0) {
      from = nearest(event);
      event.preventDefault();
    }
  });
  plot.addEventListener("pointerup", (event) => {
    const zoom = document.getElementById("zoom");
    if (!from || !zoom) return;
    const to = nearest(event);
    const [first, last] = from.place < to.place ? [from, to] : [to, from];
    from = null;
    if (last.place - first.place < 15 || first.found === last.found) return;
    zoom.elements.from.value = first.found.at;
    zoom.elements.to.value = last.found.at;
    zoom.requestSubmit();
  });
}
for (const chart of document.querySelectorAll(".chart")) watch(chart);

// ---- a date that is picked goes into the field beside it, which takes more than dates
for (const pick of document.querySelectorAll(".pick")) {
  pick.hidden = false;
  pick.addEventListener("change", () => { document.getElementById(pick.dataset.fills).value = pick.value; });
}

// ---- a filter leaves its empty fields out of the address
for (const form of document.querySelectorAll("form.fields")) {
  form.addEventListener("submit", () => {
    for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
  });
}
addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("form.fields :disabled")) field.disabled = false;
});
