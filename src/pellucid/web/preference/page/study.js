// One trial at a time: shows two pictures, keeps their views in step, sends the answer, shows what the server says is next.
"use strict";

const GUARD = 450;                       // ms after a trial appears in which nothing counts: the tail of a double click
const LADDER = [0.125, 0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 16];
const MAX_ZOOM = 16;

const one = (selector) => document.querySelector(selector);
const all = (selector) => [...document.querySelectorAll(selector)];
const panes = all(".pane");
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// ------------------------------------------------------------------------------------------------ the server

let standing = null;                     // what the server said last
let started = false;                     // whether the welcome has been read
let busy = true;                         // no answer is taken
let shownAt = 0;

function notice(text) {
  one("#notice").textContent = text;
  one("#notice").hidden = !text;
}

// Asks until there is an answer: asking twice does no harm, the server counts a trial once.
async function ask(path, body) {
  for (let wait = 500; ; wait = Math.min(2 * wait, 8000)) {
    try {
      const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
      const response = await fetch(path, { cache: "no-store", ...options });
      if (response.ok) { notice(""); return await response.json(); }
      if (response.status === 401) { notice("This study needs cookies. Allow them for this page, then reload it."); return null; }
      if (response.status < 500) return path === "state" ? null : ask("state");
      notice("The study cannot save answers at the moment. Trying again …");
    } catch {
      notice("No connection to the study. Trying again …");
    }
    await sleep(wait);
  }
}

async function vote(choice) {
  if (busy || performance.now() - shownAt < GUARD) return;
  if (choice === "tie" && !standing.ties) return;
  busy = true;
  const marked = all(`[data-choice="${choice}"], .pane[data-side="${choice}"]`);
  for (const element of marked) element.classList.add("chosen");
  const [next] = await Promise.all([ask("votes", { trial: standing.trial.id, choice }), sleep(220)]);
  for (const element of marked) element.classList.remove("chosen");
  if (next) await show(next);
}

// ------------------------------------------------------------------------------------------------ what is shown

const fetched = new Map();               // address -> picture, of this trial and the next

const addressOf = (trial, place, copy = "") => `pictures/${trial.id}/${place}.png${copy}`;

function picture(trial, place, copy) {
  const address = addressOf(trial, place, copy);
  if (!fetched.has(address)) {
    const image = new Image();
    image.src = address;
    image.draggable = false;
    fetched.set(address, image);
  }
  return fetched.get(address);
}

async function decoded(trial, place, copy) {
  for (;;) {
    const image = picture(trial, place, copy);
    try { await image.decode(); return image; } catch {
      notice("A picture could not be loaded. Trying again …");
      fetched.delete(addressOf(trial, place, copy));
      await sleep(1500);
    }
  }
}

function only(id) {
  for (const main of all("main")) main.hidden = main.id !== id;
}

async function show(next) {
  standing = next;
  busy = true;
  const { done, total, trial, ties, question } = next;
  one("#bar-done").style.transform = `scaleX(${done / total})`;
  for (const heading of all(".question")) heading.textContent = question;
  document.title = question;
  for (const element of all(".ties")) element.hidden = !ties;
  one(".tie").hidden = !ties;
  if (!trial) {
    one("#answers").textContent = total;
    only("thanks");
    return;
  }
  const clean = trial.places.includes("clean");
  one("#clean").hidden = !clean;
  for (const element of all(".clean")) element.hidden = !clean;
  if (!started && done === 0) {
    one("#pairs").textContent = total === 1 ? "one pair of pictures" : `${total} pairs of pictures`;
    only("welcome");
    for (const place of trial.places) picture(trial, place);
    return;
  }
  document.body.classList.add("waiting");
  const [left] = await Promise.all([decoded(trial, "left"), decoded(trial, "right")]);
  if (standing !== next) return;         // something newer has come meanwhile
  notice("");
  one("#progress").textContent = `${done + 1} of ${total}`;
  size = { width: left.naturalWidth, height: left.naturalHeight };
  view = { zoom: null, x: 0.5, y: 0.5 };
  only("trial");
  flip(null);
  document.body.classList.remove("waiting");
  shownAt = performance.now();
  busy = false;
  for (const place of trial.places) picture(trial, place);
  if (next.following) for (const place of ["left", "right"]) picture(next.following, place);
  const kept = [trial.id, next.following && next.following.id];
  for (const address of fetched.keys()) if (!kept.includes(address.split("/")[1])) fetched.delete(address);
}

// Shows a third picture in both panes, or the two again.
let flipped = null;
async function flip(place) {
  flipped = place;
  const { trial } = standing;
  for (const name of ["input", "clean"]) one(`#${name}`).setAttribute("aria-pressed", String(name === place));
  const thirds = place ? await Promise.all([decoded(trial, place), decoded(trial, place, "#2")]) : [];
  if (flipped !== place || standing.trial !== trial) return;
  notice("");
  const name = { input: "Input", clean: "Reference" }[place];
  panes.forEach((pane, index) => {
    const own = picture(trial, pane.dataset.side), third = thirds[index];
    own.alt = `the ${labels()[index].toLowerCase()} picture`;
    own.classList.toggle("shown", !third);
    pane.replaceChildren(own);
    if (third) {
      third.alt = name;
      third.classList.add("shown");
      pane.append(third);
      pane.dataset.label = name;
    } else delete pane.dataset.label;
  });
  draw();
}

// ------------------------------------------------------------------------------------------------ the view

let size = { width: 1, height: 1 };      // of the pictures, in pixels
let view = { zoom: null, x: 0.5, y: 0.5 };   // screen pixels per pixel, null fits; the point in the middle, in parts of the picture

const labels = () => (document.body.classList.contains("rows") ? ["Upper", "Lower"] : ["Left", "Right"]);

function fitting(width, height) {
  const fit = devicePixelRatio * Math.min(width / size.width, height / size.height);
  // Enlarged, pixels stay whole; on a fine screen, where nobody would see them, the picture fills its frame smoothly.
  return fit < 1 || devicePixelRatio >= 2 ? fit : Math.floor(fit);
}

const paneBox = () => panes[0].getBoundingClientRect();
const fitZoom = () => { const box = paneBox(); return fitting(box.width, box.height); };
const zoomNow = () => view.zoom ?? fitZoom();

// Side by side or one above the other: whichever shows the pictures larger.
function arrange() {
  const box = one("#panes").getBoundingClientRect();
  const rows = fitting(box.width, box.height / 2) > 1.15 * fitting(box.width / 2, box.height);
  document.body.classList.toggle("rows", rows);
  labels().forEach((label, index) => { one(`[data-choice="${panes[index].dataset.side}"] .name`).textContent = label; });
}

function draw() {
  arrange();
  const box = paneBox(), ratio = devicePixelRatio, zoom = zoomNow();
  const width = size.width * zoom / ratio, height = size.height * zoom / ratio;
  const half = (pane, picture) => (picture <= pane ? 0.5 : pane / 2 / picture);
  view.x = clamp(view.x, half(box.width, width), 1 - half(box.width, width));
  view.y = clamp(view.y, half(box.height, height), 1 - half(box.height, height));
  const whole = (value) => Math.round(value * ratio) / ratio;   // or the picture would be blurred by a part of a pixel
  const left = whole(box.width / 2 - view.x * width), top = whole(box.height / 2 - view.y * height);
  for (const pane of panes) {
    for (const image of pane.children) {
      // The size as a scale: as a width it would be rounded to a 64th of a pixel.
      const scale = width / image.naturalWidth;
      image.classList.toggle("sharp", scale * ratio > 0.999 && (view.zoom !== null || Number.isInteger(zoom)));
      image.style.width = `${image.naturalWidth}px`;
      image.style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
    }
  }
  for (const button of all("[data-zoom]")) {
    const value = button.dataset.zoom;
    button.setAttribute("aria-pressed", String(value === "fit" ? view.zoom === null : view.zoom !== null && Math.abs(zoom - value) < 1e-3));
  }
}

// Zooms so that the point (x, y) of the pane, in CSS pixels, stays where it is; without a point, the middle.
function zoomTo(zoom, x, y) {
  const box = paneBox(), fit = fitZoom(), before = zoomNow() / devicePixelRatio;
  const dx = (x ?? box.width / 2) - box.width / 2, dy = (y ?? box.height / 2) - box.height / 2;
  if (zoom === null || (fit < 1 && zoom <= fit * 1.001)) view.zoom = null;
  else view.zoom = clamp(zoom, Math.min(1, fit), Math.max(MAX_ZOOM, fit));
  const after = zoomNow() / devicePixelRatio;
  view.x += (dx / before - dx / after) / size.width;
  view.y += (dy / before - dy / after) / size.height;
  draw();
}

function pan(dx, dy) {
  const scale = zoomNow() / devicePixelRatio;
  view.x -= dx / scale / size.width;
  view.y -= dy / scale / size.height;
  draw();
}

function step(direction) {
  const zoom = zoomNow();
  const next = direction > 0 ? LADDER.find((rung) => rung > zoom * 1.01) : LADDER.findLast((rung) => rung < zoom * 0.99);
  zoomTo(next ?? (direction > 0 ? MAX_ZOOM : null));
}

function cycle() {
  const zoom = view.zoom;
  const next = [1, 2, 4].find((rung) => rung > (zoom ?? 0) * 1.001 && rung > fitZoom() * 1.001);
  zoomTo(next === undefined || (zoom !== null && zoom >= 4) ? null : next);
}

// ------------------------------------------------------------------------------------------------ hands

const fingers = new Map();               // pointer -> where it was last, in its pane

function within(pane, event) {
  const box = pane.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

for (const pane of panes) {
  pane.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    try { pane.setPointerCapture(event.pointerId); } catch { /* it is gone already */ }
    fingers.set(event.pointerId, within(pane, event));
    down = fingers.size === 1 ? { x: event.clientX, y: event.clientY } : null;
    pane.classList.add("dragging");
  });
  pane.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const now = within(pane, event);
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    fingers.set(event.pointerId, now);
    if (!other) { pan(now.x - before.x, now.y - before.y); return; }
    const apart = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
    pan((now.x - before.x) / 2, (now.y - before.y) / 2);
    zoomTo(zoomNow() * apart(now) / apart(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
  });
  pane.addEventListener("pointerup", (event) => tapped(pane, event));
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    pane.addEventListener(end, (event) => { fingers.delete(event.pointerId); pane.classList.remove("dragging"); });
  }
  pane.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = [1, 16, 100][event.deltaMode];
    const speed = event.ctrlKey ? 0.01 : 0.002;   // a pinch on a touchpad arrives as a wheel with Ctrl
    const { x, y } = within(pane, event);
    zoomTo(zoomNow() * Math.exp(-clamp(event.deltaY * lines, -200, 200) * speed), x, y);
  }, { passive: false });
}

// Two taps or clicks on one place: the whole picture, or its true pixels there.
let down = null, lastTap = { at: -1e9, x: 0, y: 0 };
function tapped(pane, event) {
  const still = (point) => point && Math.hypot(event.clientX - point.x, event.clientY - point.y) < 12;
  const tap = { at: event.timeStamp, x: event.clientX, y: event.clientY };
  if (!still(down)) return;
  if (tap.at - lastTap.at > 400 || !still(lastTap)) { lastTap = tap; return; }
  lastTap = { at: -1e9, x: 0, y: 0 };
  const { x, y } = within(pane, event), fit = fitZoom();
  zoomTo(view.zoom === null ? (fit < 1 ? 1 : 2 * fit) : null, x, y);
}

for (const button of all("[data-zoom]")) {
  button.addEventListener("click", () => zoomTo(button.dataset.zoom === "fit" ? null : Number(button.dataset.zoom)));
}
for (const name of ["input", "clean"]) {
  one(`#${name}`).addEventListener("click", () => flip(flipped === name ? null : name));
}
for (const button of all("[data-choice]")) {
  button.addEventListener("click", (event) => { if (event.detail < 2) vote(button.dataset.choice); });
}
function start() {
  started = true;
  show(standing);
}
one("#start").addEventListener("click", start);
one("#another").addEventListener("click", async () => {
  started = false;
  const next = await ask("another", {});
  if (next) show(next);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (!one("#welcome").hidden && event.key === "Enter" && event.target === document.body) start();
  if (one("#trial").hidden) return;
  const arrows = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const rows = document.body.classList.contains("rows");
  if (event.shiftKey && arrows[key]) {
    const box = paneBox();
    pan(arrows[key][0] * box.width / 8, arrows[key][1] * box.height / 8);
  } else if (key === "+" || key === "=") step(1);
  else if (key === "-" || key === "_") step(-1);
  else if (event.repeat) return;
  else if (key === "1" || key === (rows ? "ArrowUp" : "ArrowLeft")) vote("left");
  else if (key === "2" || key === (rows ? "ArrowDown" : "ArrowRight")) vote("right");
  else if (key === "0") vote("tie");
  else if (key === "z") cycle();
  else if (key === "i") flip(flipped === "input" ? null : "input");
  else if (key === "r" && !one("#clean").hidden) flip(flipped === "clean" ? null : "clean");
  else return;
  event.preventDefault();
});

const redraw = () => { if (!one("#trial").hidden) draw(); };
new ResizeObserver(redraw).observe(one("#panes"));
addEventListener("resize", redraw);

// The window may move to a screen of another fineness, or be zoomed, without a change of its size.
function followRatio() {
  const query = matchMedia(`(resolution: ${devicePixelRatio}dppx)`);
  query.addEventListener("change", () => { redraw(); followRatio(); }, { once: true });
}
followRatio();

// A page that the back button brings to life again may be old: the server knows where this person is.
async function begin() {
  const next = await ask("state");
  if (next) show(next);
}
addEventListener("pageshow", (event) => { if (event.persisted) begin(); });
begin();
