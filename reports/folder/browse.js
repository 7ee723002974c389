// The list of clips in a report: filtered, sorted, and in the document only as far as it is near the window.
//
// What is shown is set as text or as a property, never as HTML: prompts, labels and messages are foreign.
"use strict";
(() => {
const data = window.reelbench;
const byId = (id) => document.getElementById(id);

/** An element with properties, attributes ("aria-...", "role") and children. */
function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "dir") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(byId(button.dataset.copy).textContent, button));
}
function copy(text, button) {
  const says = button.textContent;
  const done = () => { button.textContent = "Copied"; setTimeout(() => { button.textContent = says; }, 1500); };
  // Without a clipboard (a page from http on another machine) the text is shown, to be copied by hand.
  const asked = () => window.prompt("Copy this:", text);
  if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, asked); else asked();
}

if (!data || !data.rows.length) return;
byId("alone").remove();

// ---------------------------------------------------------------------------------------------- what is there

const rows = data.rows;
const measures = data.metrics.map((metric, index) => ({ ...metric, of: (clip) => clip.v?.[index] ?? undefined }));
// The lines under a clip: of each data set the first that it was measured by.
const quality = data.datasets.map((_, index) => {
  const clips = rows.filter((row) => row.d === index).flatMap((row) => row.clips);
  return measures.filter((measure) => clips.some((clip) => measure.of(clip) !== undefined)).slice(0, 3);
});
if (rows.some((row) => row.clips.some((clip) => clip.t !== undefined))) {
  measures.push({ name: "seconds", label: "Sampling", short: "Sampling", unit: "s", of: (clip) => clip.t });
}
const motionMeasure = measures.find((measure) => measure.name.startsWith("motion_magnitude"));
for (const row of rows) {
  row.key = [data.datasets[row.d], row.id, row.seed].join("|");
  row.text = [row.prompt, row.shows, row.id, row.edit].filter(Boolean).join("\n").toLowerCase();
  if (row.motion === undefined && motionMeasure) row.motion = mean(row.clips.map(motionMeasure.of));
}
function mean(values) {
  const known = values.filter((value) => value !== undefined);
  return known.length ? known.reduce((a, b) => a + b) / known.length : undefined;
}
const motions = rows.map((row) => row.motion).filter((value) => value !== undefined).sort((a, b) => a - b);
const [calmest, liveliest] = [motions[Math.floor(motions.length / 3)], motions[Math.floor((2 * motions.length) / 3)]];
const failed = (clip) => clip.s !== undefined || clip.e !== undefined;
const words = (value, unit = "") =>
  value === undefined ? "–" : String(Number(value.toPrecision(4))).replace("-", "−") + (unit && ` ${unit}`);

// ------------------------------------------------------------- what is asked for; the address keeps it for others

const usual = {
  words: "", dataset: "", edit: "", seed: "", motion: "", status: "", sort: "", of: "", minus: "", order: "",
  hide: [], speed: "1", size: "", row: "",
};
let state = fromAddress();
function fromAddress() {
  const found = structuredClone(usual);
  if (!location.hash.includes("=")) return found;
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(usual)) {
    if (given.has(name)) found[name] = name === "hide" ? given.getAll(name) : given.get(name);
  }
  return found;
}
function toAddress() {
  const changed = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    for (const one of [value].flat()) if (one !== usual[name]) changed.append(name, one);
  }
  const hash = changed.toString();
  try {
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  } catch { /* a browser that keeps pages on disk from it: the view works, its address does not follow */ }
}

const OPTIONS = {
  dataset: [["", "all"], ...data.datasets.map((name) => [name, name])],
  edit: [["", "all"], ...distinct("edit")],
  seed: [["", "all"], ...distinct("seed")],
  motion: motions.length < 3 || calmest === liveliest ? [["", "all"]] : [
    ["", "all"], ["little", `little, below ${words(calmest)}`],
    ["some", `some, to ${words(liveliest)}`], ["much", `much, from ${words(liveliest)}`],
  ],
  status: [["", "all"], ["whole", "without failures"], ["failed", "with failures"]],
  sort: [
    ["", "order of the run"], ["prompt", "prompt"], ...(motions.length ? [["motion", "motion of the reference"]] : []),
    ...measures.map((measure) => [measure.name, measure.label]),
  ],
  of: [["", "mean of those shown"], ...data.methods.map((name) => [name, name])],
  minus: [["", "nothing"], ...data.methods.map((name) => [name, name])],
  order: [["", "largest first"], ["up", "smallest first"]],
  speed: [0.1, 0.25, 0.5, 1, 2].map((speed) => [String(speed), `${speed}×`]),
  size: [["", "fit"], ["s", "small"], ["m", "medium"], ["l", "large"]],
};
function distinct(name) {
  const found = new Set(rows.map((row) => row[name]).filter((value) => value !== undefined));
  return [...found].map((value) => [String(value), String(value)]);
}

const sortedBy = () => measures.find((measure) => measure.name === state.sort);
const isShown = (clip) => !state.hide.includes(data.methods[clip.m]);
const shownClips = (row) => row.clips.filter(isShown);

/** What a row is sorted by; undefined where it has no value. */
function rank(row) {
  if (state.sort === "prompt") return row.prompt.toLowerCase();
  if (state.sort === "motion") return row.motion;
  const measure = sortedBy();
  const of = (method) => {
    const clip = row.clips.find((one) => data.methods[one.m] === method);
    return clip && measure.of(clip);
  };
  const value = state.of ? of(state.of) : mean(shownClips(row).map(measure.of));
  if (!state.minus || value === undefined) return value;
  const other = of(state.minus);
  return other === undefined ? undefined : value - other;
}

/** The rows that pass the filters, in order. */
function select() {
  const sought = state.words.toLowerCase().split(/\s+/).filter(Boolean);
  const passed = rows.filter((row) => {
    const clips = shownClips(row);
    return (
      clips.length > 0 && sought.every((word) => row.text.includes(word)) &&
      (!state.dataset || data.datasets[row.d] === state.dataset) &&
      (!state.edit || String(row.edit) === state.edit) && (!state.seed || String(row.seed) === state.seed) &&
      (!state.status || (state.status === "failed") === clips.some(failed)) &&
      (!state.motion || state.motion === (row.motion < calmest ? "little" : row.motion < liveliest ? "some" : "much"))
    );
  });
  if (!state.sort || (!sortedBy() && !["prompt", "motion"].includes(state.sort))) return passed;
  const sign = (state.order === "up") === (state.sort !== "prompt") ? 1 : -1;
  const ranks = new Map(passed.map((row) => [row, rank(row)]));
  return passed.sort((a, b) => {
    const [x, y] = [ranks.get(a), ranks.get(b)];
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);  // those without, last
    return x < y ? -sign : x > y ? sign : 0;
  });
}

// -------------------------------------------------------------------- playing all clips of a prompt as one

/** Clips on one clock. A browser plays each at a pace of its own, so those that drift are put right. */
class Player {
  constructor(clips, show) {
    this.clips = clips;  // { frames, fps, video: undefined until it is loaded }
    this.show = show;
    this.time = 0;
    this.isPlaying = false;
  }
  get rate() {
    return Math.max(...this.clips.map((clip) => clip.fps || 0), 0) || 8;
  }
  lengthOf(clip) {
    return clip.frames && clip.fps ? clip.frames / clip.fps : clip.video?.duration || 0;
  }
  get numFrames() {
    return Math.max(1, Math.round(Math.max(...this.clips.map((clip) => this.lengthOf(clip)), 0) * this.rate));
  }
  get frame() {
    return Math.min(this.numFrames - 1, Math.floor(this.time * this.rate + 1e-6));
  }
  /** Where a clip should be: in the middle of a frame a seek lands on it in every browser; a shorter one stays
   *  on its last. */
  placeOf(clip, time) {
    const rate = clip.fps || this.rate;
    const inFrame = this.isPlaying ? time : (Math.floor(time * rate + 1e-6) + 0.5) / rate;
    return Math.max(0, Math.min(inFrame, this.lengthOf(clip) - 0.5 / rate));
  }
  seek(frame) {
    this.pause();
    this.time = (Math.max(0, Math.min(frame, this.numFrames - 1)) + 0.5) / this.rate;
    this.align();
  }
  align() {
    for (const clip of this.clips) if (clip.video) clip.video.currentTime = this.placeOf(clip, this.time);
    this.show(this);
  }
  play() {
    if (this.isPlaying || !this.clips.length) return;
    this.isPlaying = true;
    this.since = undefined;
    playing.add(this);
    keepTime();
    this.show(this);
  }
  pause() {
    if (!this.isPlaying) return;
    this.isPlaying = false;
    playing.delete(this);
    for (const clip of this.clips) clip.video?.pause();
    this.align();
  }
  toggle() {
    if (this.isPlaying) this.pause(); else this.play();
  }
  tick(now) {
    const speed = Number(state.speed) || 1;
    const isReady = this.clips.every(({ video }) => video?.readyState >= 2);
    if (this.since === undefined || !isReady) {
      this.since = now;
      if (!isReady) return;
      this.align();
      this.start(speed);
    }
    this.time += (Math.min(now - this.since, 250) / 1000) * speed;  // a hidden tab has no time
    this.since = now;
    const length = this.numFrames / this.rate;
    if (this.time >= length) {
      this.time %= length;
      this.align();
      this.start(speed);
    }
    for (const clip of this.clips) {
      const { video } = clip;
      if (video.playbackRate !== speed) video.playbackRate = speed;
      const drift = Math.abs(video.currentTime - this.placeOf(clip, this.time));
      if (drift > 0.75 / (clip.fps || this.rate) && !video.seeking && now - (clip.mended || 0) > 300) {
        clip.mended = now;
        video.currentTime = this.placeOf(clip, this.time);
      }
    }
    this.show(this);
  }
  start(speed) {
    for (const { video } of this.clips) {
      video.playbackRate = speed;
      video.play().catch(() => {});  // interrupted by a pause
    }
  }
}
const playing = new Set();
let clock = 0;
function keepTime() {
  clock ||= requestAnimationFrame(function tick(now) {
    for (const player of playing) player.tick(now);
    clock = playing.size ? requestAnimationFrame(tick) : 0;
  });
}

// ------------------------------------------------------------------------------------------ a prompt's clips

/** A prompt with its clips: `load` fetches them, `free` lets them go. */
function view(row, tilePx, linesOf) {
  const found = [];
  const tiles = make("div", { className: "tiles", role: "list" });
  if (row.reference) tiles.append(tile(row, row.reference, "reference", tilePx, [], found));
  for (const clip of shownClips(row)) {
    tiles.append(tile(row, clip, data.methods[clip.m], tilePx, linesOf(clip), found));
  }
  const button = make("button", { type: "button", textContent: "▶" });
  const slider = make("input", { type: "range", min: 0, value: 0, step: 1, "aria-label": "Frame" });
  const says = make("output");
  const player = new Player(found, () => {
    const text = `${player.frame + 1} / ${player.numFrames}`;
    if (says.textContent !== text) {
      says.textContent = text;
      slider.max = player.numFrames - 1;
      slider.value = player.frame;
      slider.setAttribute("aria-valuetext", `frame ${text}`);
    }
    const symbol = player.isPlaying ? "❚❚" : "▶";
    if (button.textContent !== symbol) {
      button.textContent = symbol;
      button.setAttribute("aria-label", player.isPlaying ? "Pause this prompt" : "Play this prompt");
    }
  });
  button.setAttribute("aria-label", "Play this prompt");
  const step = (by, label, symbol) => {
    const node = make("button", { type: "button", textContent: symbol, "aria-label": label });
    node.addEventListener("click", () => player.seek(player.frame + by));
    return node;
  };
  button.addEventListener("click", () => { player.wasAsked = true; player.toggle(); });
  slider.addEventListener("input", () => { player.wasAsked = true; player.seek(Number(slider.value)); });
  const controls = make("div", { className: "player" }, button,
    step(-1, "One frame back", "‹"), step(1, "One frame on", "›"), slider, says);
  player.show(player);
  let isLoaded = false;
  const load = () => {
    if (isLoaded) return;
    isLoaded = true;
    for (const clip of [...found]) clip.load(player);
  };
  const free = () => {
    player.pause();
    for (const { video } of found) {
      if (!video) continue;
      video.removeAttribute("src");
      video.load();  // lets go of the decoder, of which a browser has few
    }
  };
  return { row, player, controls, tiles, load, free };
}

function tile(row, clip, label, tilePx, lines, found) {
  const said = `${label}: ${row.prompt}`, box = make("div", { className: "view" });
  const pixels = clip.w && clip.w < tilePx && clip.w <= 160 ? "pixels" : "";
  if (!clip.f) {
    box.append(make("div", { className: "none", textContent: clip.e || clip.s || "no clip", tabIndex: 0 }));
  } else if (/\.(mp4|webm)$/.test(clip.f)) {
    // Made when it is loaded: a row that is only scrolled past costs no player.
    const playable = { frames: clip.n, fps: clip.r };
    playable.load = (player) => {
      const video = make("video", {
        muted: true, playsInline: true, preload: "auto", tabIndex: -1, className: pixels, "aria-label": said,
      });
      video.addEventListener("loadedmetadata", () => player.show(player));
      video.addEventListener("error", () => {
        if (!video.getAttribute("src")) return;  // it was let go
        found.splice(found.indexOf(playable), 1);
        video.replaceWith(make("div", { className: "none", textContent: `this browser cannot play ${clip.f}` }));
      });
      video.src = `clips/${clip.f}`;
      video.currentTime = player.placeOf(playable, player.time);
      playable.video = video;
      box.replaceChildren(video);
    };
    found.push(playable);
  } else {
    box.append(make("img", { alt: said, loading: "lazy", className: pixels, src: `clips/${clip.f}` }));
  }
  const caption = make("figcaption", {}, make("span", { textContent: label, title: label }));
  if (clip.f && clip.e) caption.append(make("small", { className: "warn", textContent: clip.e, title: clip.e }));
  for (const line of lines) caption.append(line);
  const kind = label === "reference" && clip.m === undefined ? " reference" : "";
  return make("figure", { className: `tile${kind}`, role: "listitem" },
    box, caption);
}

/** Lines of values under a clip; what the list is sorted by comes first. */
function linesOf(shownMeasures) {
  const by = sortedBy();
  const isOfInterest = (clip) => by && [state.of, state.minus, ""].includes(data.methods[clip.m]);
  return (clip) => shownMeasures.map((measure) => {
    // The value first: a long label is cut off.
    const text = `${words(measure.of(clip), measure.unit)} ${measure.short}`;
    const line = make("small", { textContent: text, title: text });
    if (measure === by && (!state.of || isOfInterest(clip))) line.className = "by";
    return line;
  });
}

function about(row) {
  const parts = [row.id, data.datasets[row.d]];
  if (OPTIONS.seed.length > 2) parts.push(`seed ${row.seed}`);
  if (row.edit) parts.push(`edit: ${row.edit}`);
  if (row.shows) parts.push(`reference shows: ${row.shows}`);
  if (row.motion !== undefined) parts.push(`motion ${words(row.motion)}`);
  const node = make("div", { className: "about" });
  const by = sortedBy();
  if (by) {
    const what = (state.of || "mean") + (state.minus && ` − ${state.minus}`);
    node.append(make("b", { textContent: `${by.label}, ${what}: ${words(rank(row), by.unit)}` }), " · ");
  }
  node.append(parts.filter(Boolean).join(" · "));
  node.title = node.textContent;
  return node;
}

// ---------------------------------------------------------- the list: rows of known heights, few in the document

const app = byId("app"), list = byId("list"), bar = byId("bar"), large = byId("large");
const TILE_PX = { s: 104, m: 160, l: 256 }, FIT_PX = [104, 200], NEAR = 0.75, SETTLED_MS = 120, SLOW_PX_PER_MS = 0.8;
const mostTiles = Math.max(...rows.map((row) => row.clips.length + (row.reference ? 1 : 0)));
const ratios = data.datasets.map((_, index) => {
  const clips = rows.filter((row) => row.d === index).flatMap((row) => row.clips);
  const clip = clips.find((one) => one.w && one.h);
  return clip ? Math.max(0.4, Math.min(1.5, clip.h / clip.w)) : 1;
});
let chosen = [], tops = [0], layout = {}, isPlayingAll = false;
const views = new Map();  // row -> its view and node

function measureLayout() {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const inner = list.clientWidth - 1.5 * rem - 2, gap = 0.5 * rem;
  // All clips of a prompt side by side, unless they would be too small to see.
  const numTiles = Math.min(mostTiles - state.hide.length, Math.floor((inner + gap) / (FIT_PX[0] + gap)));
  const fitPx = Math.min(FIT_PX[1], Math.floor((inner + gap) / Math.max(1, numTiles) - gap));
  const tilePx = Math.min(TILE_PX[state.size] || fitPx, inner);
  const by = sortedBy();
  const shown = quality.map((own) => (by ? [by, ...own.filter((measure) => measure !== by).slice(0, 2)] : own));
  const columns = Math.max(1, Math.floor((inner + gap) / (tilePx + gap)));
  layout = { rem, inner, tilePx, gap, columns, shown };
  list.style.setProperty("--tile", `${tilePx}px`);
}
function heightOf(row) {
  const { rem, inner, tilePx, gap, columns, shown } = layout;
  const lines = Math.ceil((shownClips(row).length + (row.reference ? 1 : 0)) / columns);
  const tilesPx = lines * (Math.round(tilePx * ratios[row.d]) + (1 + shown[row.d].length) * 1.15 * rem + gap) - gap;
  row.isLong = row.prompt.length * 0.6 * rem > inner || /\n/.test(row.prompt);
  return Math.ceil(tilesPx + ((row.isLong ? 2.8 : 1.4) + 1.3 + 2.2 + 1.2 + 0.7) * rem + 4);
}

/** Show what the state asks for; the address follows, unless the state came from it. */
function update({ isFromAddress } = {}) {
  chosen = select();
  for (const row of [...views.keys()]) drop(row);
  measureLayout();
  tops = new Float64Array(chosen.length + 1);
  chosen.forEach((row, index) => { tops[index + 1] = tops[index] + heightOf(row); });
  list.style.height = `${tops[chosen.length]}px`;
  const numClips = chosen.reduce((sum, row) => sum + shownClips(row).length, 0);
  byId("count").textContent = chosen.length
    ? `${chosen.length === rows.length ? "" : `${chosen.length} of `}${rows.length} prompts, ${numClips} clips`
    : `None of ${rows.length} prompts matches: Reset shows all`;
  if (!isFromAddress) toAddress();
  render();
}

// Rows that are only scrolled past load nothing: players are made once the page moves slowly, or stands.
let settled = 0, last = { y: 0, at: 0 };
function loadShown() {
  for (const shown of views.values()) shown.load();
}
function loadWhenSlow() {
  const now = { y: window.scrollY, at: performance.now() };
  const isSlow = Math.abs(now.y - last.y) < SLOW_PX_PER_MS * (now.at - last.at);
  last = now;
  clearTimeout(settled);
  if (isSlow) loadShown(); else settled = setTimeout(loadShown, SETTLED_MS);
}

/** The first row whose end is below a place in the list. */
function indexAt(y) {
  let [low, high] = [0, chosen.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (tops[middle + 1] > y) high = middle; else low = middle + 1;
  }
  return low;
}
const print = window.matchMedia("print");
function render() {
  if (print.matches) return;  // on paper is what was in view, though its width is another one
  const top = -list.getBoundingClientRect().top, height = window.innerHeight;
  const first = indexAt(top - NEAR * height), end = Math.min(chosen.length, indexAt(top + (1 + NEAR) * height) + 1);
  const wanted = new Set(top + height < -NEAR * height ? [] : chosen.slice(first, end));
  for (const [row, { node }] of views) {
    if (!wanted.has(row) && !node.contains(document.activeElement)) drop(row);
  }
  for (let index = first; index < end; index += 1) {
    const row = chosen[index];
    if (wanted.has(row) && !views.has(row)) add(row, index);
  }
  loadWhenSlow();
  for (const [row, shown] of views) {
    const isInView = shown.bottom > top && shown.top < top + height;
    if (!shown.player.wasAsked) {
      if (isInView && isPlayingAll && !large.open) shown.player.play(); else shown.player.pause();
    } else if (!isInView) {
      shown.player.pause();
    }
  }
}
function add(row, index) {
  const shown = view(row, layout.tilePx, linesOf(layout.shown[row.d]));
  const label = `prompt-${index}`;
  const open = make("button", { type: "button", textContent: "Large", "aria-label": "Show this prompt large" });
  open.addEventListener("click", () => openLarge(row));
  shown.controls.append(open);
  shown.tiles.style.gridTemplateColumns = `repeat(${layout.columns}, ${layout.tilePx}px)`;
  shown.tiles.style.setProperty("--lines", 1 + layout.shown[row.d].length);
  shown.tiles.style.setProperty("--view", `${Math.round(layout.tilePx * ratios[row.d])}px`);
  shown.node = make("article", { className: "entry", tabIndex: 0, "aria-posinset": index + 1, "aria-setsize": chosen.length, "aria-labelledby": label },
    make("div", { className: "box" },
      make("div", { className: row.isLong ? "said" : "said short", id: label, textContent: row.prompt || "(no prompt)", title: row.prompt, dir: "auto" }),
      about(row), shown.controls, shown.tiles));
  [shown.top, shown.bottom] = [tops[index], tops[index + 1]];
  shown.node.style.top = `${shown.top}px`;
  shown.node.style.height = `${shown.bottom - shown.top}px`;
  const next = chosen.slice(index + 1, index + 40).find((other) => views.has(other));
  list.insertBefore(shown.node, next ? views.get(next).node : null);
  views.set(row, shown);
}
function drop(row) {
  const shown = views.get(row);
  shown.free();
  shown.node.remove();
  views.delete(row);
}

function playAll(isOn) {
  isPlayingAll = isOn;
  byId("play").textContent = isOn ? "Pause" : "Play";
  byId("play").setAttribute("aria-pressed", String(isOn));
  for (const shown of views.values()) shown.player.wasAsked = false;
  render();
}

// ------------------------------------------------------------------------------------------- one prompt, large

let enlarged;
function openLarge(row) {
  closeLarge();
  state.row = row.key;
  toAddress();
  if (!large.open) large.showModal();
  const numTiles = shownClips(row).length + (row.reference ? 1 : 0);
  const width = large.clientWidth - 2 * layout.rem, height = window.innerHeight - 12 * layout.rem;
  const caption = (1.2 + measures.length) * layout.rem;
  let best = { tilePx: 0, columns: 1 };
  for (let columns = 1; columns <= numTiles; columns += 1) {
    const across = (width - (columns - 1) * layout.gap) / columns;
    const down = (height / Math.ceil(numTiles / columns) - caption) / ratios[row.d];
    const tilePx = Math.floor(Math.min(across, Math.max(down, 120)));
    if (tilePx > best.tilePx) best = { tilePx, columns };
  }
  enlarged = view(row, best.tilePx, (clip) =>
    linesOf(measures.filter((measure) => measure.of(clip) !== undefined))(clip));
  enlarged.tiles.style.gridTemplateColumns = `repeat(${best.columns}, ${best.tilePx}px)`;
  enlarged.tiles.style.setProperty("--tile", `${best.tilePx}px`);
  enlarged.tiles.style.setProperty("--view", `${Math.round(best.tilePx * ratios[row.d])}px`);
  const go = (by, text) => {
    const node = make("button", { type: "button", textContent: text });
    node.disabled = !chosen[chosen.indexOf(row) + by];
    node.addEventListener("click", () => openLarge(chosen[chosen.indexOf(row) + by]));
    return node;
  };
  const close = make("button", { type: "button", textContent: "Close" });
  close.addEventListener("click", () => large.close());
  enlarged.controls.append(make("span", { className: "push" }), go(-1, "Previous"), go(1, "Next"), close);
  large.replaceChildren(
    make("div", { className: "said", id: "large-prompt", textContent: row.prompt || "(no prompt)", dir: "auto" }),
    about(row), enlarged.controls, enlarged.tiles);
  enlarged.load();
  render();
  if (isPlayingAll) enlarged.player.play();
}
function closeLarge() {
  enlarged?.free();
  enlarged = undefined;
}
large.addEventListener("close", () => {
  closeLarge();
  const row = rows.find((one) => one.key === state.row);
  state.row = "";
  toAddress();
  render();
  if (chosen.includes(row)) focusRow(chosen.indexOf(row));
});

function focusRow(index) {
  const row = chosen[index];
  if (!row) return;
  const top = list.getBoundingClientRect().top + window.scrollY + tops[index];
  const isInView = top > window.scrollY + bar.offsetHeight && top + 8 * layout.rem < window.scrollY + window.innerHeight;
  if (!isInView) window.scrollTo({ top: top - bar.offsetHeight - 4 });
  render();
  views.get(row)?.node.focus({ preventScroll: true });
}

// ---------------------------------------------------------------------------------------- controls and keys

function fillControls() {
  for (const [name, options] of Object.entries(OPTIONS)) {
    const select = byId(name);
    select.replaceChildren(...options.map(([value, text]) => make("option", { value, textContent: text })));
    const isKnown = options.some(([value]) => value === state[name]);
    if (!isKnown) state[name] = usual[name];
    select.addEventListener("change", () => { state[name] = select.value; showControls(); update(); });
  }
  const input = byId("words");
  let waiting;
  input.addEventListener("input", () => {
    state.words = input.value;
    clearTimeout(waiting);
    waiting = setTimeout(() => update(), 120);
  });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("methods").replaceChildren(...data.methods.map((name) => {
    const box = make("input", { type: "checkbox", value: name });
    box.addEventListener("change", () => {
      state.hide = data.methods.filter((one) => (one === name ? !box.checked : state.hide.includes(one)));
      update();
    });
    return make("label", {}, box, ` ${name}`);
  }));
  byId("play").addEventListener("click", () => playAll(!isPlayingAll));
  byId("share").addEventListener("click", () => copy(location.href, byId("share")));
  byId("reset").addEventListener("click", reset);
  byId("help").addEventListener("click", () => byId("keys").showModal());
}
function showControls() {
  for (const name of Object.keys(OPTIONS)) byId(name).value = state[name];
  byId("words").value = state.words;
  for (const box of byId("methods").querySelectorAll("input")) box.checked = !state.hide.includes(box.value);
  for (const name of ["dataset", "edit", "seed"]) byId(name).parentElement.hidden = OPTIONS[name].length < 3;
  byId("motion").parentElement.hidden = OPTIONS.motion.length < 2;
  for (const name of ["of", "minus"]) byId(name).parentElement.hidden = !sortedBy();
  byId("order").parentElement.hidden = !state.sort;
}
function reset() {
  state = { ...structuredClone(usual), speed: state.speed, size: state.size };
  showControls();
  update();
}
function change(name, by) {
  const values = OPTIONS[name].map(([value]) => value);
  const now = values.indexOf(byId(name).value);
  state[name] = values[Math.max(0, Math.min(values.length - 1, now + by))];
  showControls();
  if (name === "size") update(); else toAddress();
}

/** The view that keys are for: the large one, the one in focus, or none. */
function current() {
  if (enlarged) return enlarged;
  return [...views.values()].find(({ node }) => node.contains(document.activeElement));
}
function move(by) {
  if (enlarged) {
    const next = chosen[chosen.indexOf(enlarged.row) + by];
    if (next) openLarge(next);
    return;
  }
  const now = current();
  const top = -list.getBoundingClientRect().top + bar.offsetHeight + 8;
  focusRow(now ? chosen.indexOf(now.row) + by : Math.max(0, indexAt(top)));
}
const KEYS = {
  "/": () => { byId("words").focus(); byId("words").select(); },
  "?": () => byId("keys").showModal(),
  j: () => move(1),
  k: () => move(-1),
  r: reset,
  "<": () => change("speed", -1),
  ">": () => change("speed", 1),
  "+": () => change("size", 1),
  "-": () => change("size", -1),
  " ": () => {
    const now = current();
    if (!now) return playAll(!isPlayingAll);
    now.player.wasAsked = true;
    now.player.toggle();
  },
  Enter: () => { const now = current(); if (now && !enlarged) openLarge(now.row); },
  ArrowLeft: () => seek((player) => player.frame - 1),
  ArrowRight: () => seek((player) => player.frame + 1),
  Home: () => seek(() => 0),
  End: () => seek((player) => player.numFrames - 1),
};
function seek(to) {
  const now = current();
  if (!now) return false;
  now.player.wasAsked = true;
  now.player.seek(to(now.player));
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
  const { target } = event;
  if (target.matches("input, select, textarea")) {
    if (event.key !== "Escape" || enlarged) return;
    event.preventDefault();
    if (target.id !== "words" || !target.value) return target.blur();
    target.value = "";
    target.dispatchEvent(new Event("input"));
    return;
  }
  // A button in focus keeps its own keys.
  if (target.matches("button, a, summary") && [" ", "Enter"].includes(event.key)) return;
  const act = KEYS[event.key];
  if (act && act() !== false) event.preventDefault();
});

let isAwaited = false;
function renderSoon() {
  if (isAwaited) return;
  isAwaited = true;
  requestAnimationFrame(() => { isAwaited = false; render(); });
}
window.addEventListener("scroll", renderSoon, { passive: true });
let lastWidth = 0;
new ResizeObserver(() => {
  if (print.matches) return;
  if (list.clientWidth === lastWidth) return renderSoon();
  lastWidth = list.clientWidth;
  showControls();
  update({ isFromAddress: true });
}).observe(list);
window.addEventListener("hashchange", () => {
  if (!location.hash.includes("=")) return;
  state = fromAddress();
  showControls();
  update({ isFromAddress: true });
});

app.hidden = false;
fillControls();
showControls();
lastWidth = list.clientWidth;
update({ isFromAddress: true });
const asked = rows.find((row) => row.key === state.row);
if (location.hash.includes("=")) byId("browse").scrollIntoView();
if (asked) openLarge(asked);
// Nothing moves by itself for those who asked for less motion.
playAll(!window.matchMedia("(prefers-reduced-motion: reduce)").matches);
})();
