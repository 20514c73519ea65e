"use strict";
const all = (what, where = document) => [...where.querySelectorAll(what)];

// Light and dark: what the reader chose, else what the system says.
const root = document.documentElement;
const button = document.getElementById("theme");
button.addEventListener("click", () => {
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

// Claims are shown where both their paper and their verdict are ticked.
function filter() {
  const ticked = (group) => all(`input[name=${group}]:checked`).map((box) => box.value);
  const papers = ticked("paper"), states = ticked("state");
  let shown = 0;
  all("#scorecard li").forEach((line) => {
    line.hidden = !(papers.includes(line.dataset.paper) && states.includes(line.dataset.state));
    shown += !line.hidden;
  });
  document.getElementById("shown").textContent = shown;
}
all(".filters input").forEach((box) => box.addEventListener("change", filter));

// j and k go to the next and the previous figure.
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey) return;
  const step = { j: 1, k: -1 }[event.key];
  if (!step) return;
  const places = all("figure[id]").map((figure) => figure.getBoundingClientRect().top);
  const ahead = step > 0 ? places.findIndex((y) => y > 80) : places.findLastIndex((y) => y < 40);
  if (ahead >= 0) {
    all("figure[id]")[ahead].scrollIntoView();
    scrollBy(0, -60);
  }
});

const store = document.getElementById("viewer-data");
const seen = store ? JSON.parse(store.textContent) : null;

// Two methods on one slice, with a cut that moves.
function slider() {
  const box = document.getElementById("slider");
  const [left, right] = all("select", box), [under, over] = all(".both img", box);
  const cut = box.querySelector(".cut"), range = box.querySelector("input[type=range]");
  const names = Object.keys(seen.slices);
  [left, right].forEach((menu, side) => {
    names.forEach((name) => menu.add(new Option(name, name)));
    menu.selectedIndex = Math.min(side ? 1 : names.length - 1, names.length - 1);
    menu.addEventListener("change", show);
  });
  function show() {
    over.src = seen.slices[left.value];
    under.src = seen.slices[right.value];
    over.alt = left.value;
    under.alt = right.value;
  }
  range.addEventListener("input", () => {
    over.style.clipPath = `inset(0 ${100 - range.value}% 0 0)`;
    cut.style.left = `${range.value}%`;
  });
  show();
}

// Three planes through one volume.
function scroll() {
  const box = document.getElementById("scroll");
  const menu = box.querySelector("select"), canvases = all("canvas", box);
  const ranges = all("input[type=range]", box), volumes = {};
  for (const [name, volume] of Object.entries(seen.volumes)) {
    const bytes = Uint8Array.from(atob(volume.data), (letter) => letter.charCodeAt(0));
    volumes[name] = { shape: volume.shape, bytes };
    menu.add(new Option(name, name));
  }
  const first = Object.values(volumes)[0].shape;
  ranges.forEach((range, axis) => {
    range.max = first[axis] - 1;
    range.value = first[axis] >> 1;
    range.addEventListener("input", draw);
  });
  menu.addEventListener("change", draw);
  function draw() {
    const { shape, bytes } = volumes[menu.value];
    const [, ny, nz] = shape;
    canvases.forEach((canvas, axis) => {
      const [across, up] = [0, 1, 2].filter((other) => other !== axis);
      canvas.width = shape[across];
      canvas.height = shape[up];
      const image = canvas.getContext("2d").createImageData(canvas.width, canvas.height);
      const at = [0, 0, 0];
      at[axis] = +ranges[axis].value;
      for (let v = 0; v < shape[up]; v++) {
        for (let u = 0; u < shape[across]; u++) {
          at[across] = u;
          at[up] = shape[up] - 1 - v;
          const grey = bytes[(at[0] * ny + at[1]) * nz + at[2]];
          image.data.set([grey, grey, grey, 255], 4 * (v * shape[across] + u));
        }
      }
      canvas.getContext("2d").putImageData(image, 0, 0);
    });
  }
  draw();
}
// What is folded is printed as well; a browser hides what is closed.
addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((each) => (each.open = true));
});
if (seen) {
  slider();
  scroll();
}
