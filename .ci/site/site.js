// The site's players and sliders, which need no kernel, and what keyboards need on every page.
// A figure.kit-view holds a still picture and, as JSON, what .ci/site/views.py kept of it.

const SVG = "http://www.w3.org/2000/svg";
const STEP = 0.1; // s

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function draw(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function range(name, last, changed) {
  const input = make("input", { type: "range", min: 0, max: last, value: 0, step: 1 });
  input.addEventListener("input", changed);
  return [input, make("label", { class: "kit-range" }, make("span", {}, name), input)];
}

// A slider through pictures: the still picture becomes the one that the slider points at.
function slider(figure, view) {
  const image = figure.querySelector("img");
  const line = make("p", { class: "kit-line" });
  const [input, label] = range(view.name, view.frames.length - 1, show);
  function show() {
    const frame = view.frames[input.value];
    image.src = frame.src;
    image.alt = frame.alt;
    image.removeAttribute("height"); // a moment is lower than the picture of all
    line.textContent = frame.alt;
    input.setAttribute("aria-valuetext", `${view.name} = ${frame.value}`);
  }
  input.value = view.start;
  const still = figure.querySelector(".kit-picture");
  const open = make("button", { type: "button" }, `Show each ${view.name} with a slider`);
  open.addEventListener("click", () => {
    open.replaceWith(label);
    show();
    still.after(line);
    input.focus();
  });
  still.before(open);
}

// A table with goal, block and agent; returns its node and a function that shows a state.
function scene(table) {
  const [wall, goal, block, agent, target] = table.colours;
  const points = table.tee.map((corner) => corner.join(",")).join(" ");
  const pose = ([x, y, angle]) => `translate(${x} ${y}) rotate(${(angle * 180) / Math.PI})`;
  const tee = draw("polygon", { points, fill: block });
  const disc = draw("circle", { r: table.radius, fill: agent });
  const cross = draw("path", { d: "M-21 0h42M0 -21v42", stroke: target, "stroke-width": 5 });
  const size = table.window;
  const node = draw(
    "svg",
    { viewBox: `0 0 ${size} ${size}`, class: "kit-scene", "aria-hidden": "true" },
    draw("rect", { width: size, height: size, fill: "white" }),
    draw("polygon", { points, fill: goal, transform: pose(table.goal) }),
    draw("rect", { x: 5, y: 5, width: size - 11, height: size - 11, fill: "none", stroke: wall, "stroke-width": 4 }),
    tee,
    disc,
    cross,
  );
  return [
    node,
    ([x, y, blockX, blockY, angle], action) => {
      tee.setAttribute("transform", pose([blockX, blockY, angle / 1000]));
      disc.setAttribute("transform", `translate(${x} ${y})`);
      cross.setAttribute("visibility", action ? "visible" : "hidden");
      if (action) cross.setAttribute("transform", `translate(${action[0]} ${action[1]})`);
    },
  ];
}

// The curves of the rewards of an episode; returns its node and a function that moves the cursor.
function curves(episodes, colours, width) {
  const [height, left] = [120, 34];
  const last = Math.max(...episodes.map((episode) => episode.states.length - 1), 1);
  const x = (step) => left + ((width - left - 8) * step) / last;
  const y = (reward) => 10 + (height - 36) * (1 - reward / 1000);
  const cursor = draw("line", { y1: 6, y2: y(0), class: "kit-cursor" });
  const node = draw("svg", { viewBox: `0 0 ${width} ${height}`, class: "kit-curves", "aria-hidden": "true" });
  for (const value of [0, 500, 1000]) {
    node.append(
      draw("line", { x1: left, x2: width - 8, y1: y(value), y2: y(value), class: "kit-grid" }),
      draw("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, `${value / 1000}`),
    );
  }
  node.append(draw("text", { x: left, y: height - 4 }, "reward"));
  const end = `${(last * STEP).toFixed(0)} s`;
  node.append(draw("text", { x: width - 8, y: height - 4, "text-anchor": "end" }, end));
  episodes.forEach((episode, number) => {
    const points = episode.rewards.map((reward, step) => `${x(step)},${y(reward)}`).join(" ");
    const dash = number ? `${12 - 2 * number} ${2 + number}` : "none";
    node.append(
      draw("polyline", { points, fill: "none", stroke: colours[number], "stroke-width": 2, "stroke-dasharray": dash }),
    );
  });
  node.append(cursor);
  return [
    node,
    (step) => {
      cursor.setAttribute("x1", x(step));
      cursor.setAttribute("x2", x(step));
    },
  ];
}

function player(figure, view) {
  const count = view.policies[0].episodes.length;
  const scenes = view.policies.map((policy) => [scene(view.table), make("figcaption")]);
  const line = make("p", { class: "kit-line" });
  const plot = make("div");
  const button = make("button", { type: "button" }, "Play");
  const speed = make("select", { "aria-label": "Speed" });
  for (const [value, name] of [[0.5, "½ ×"], [1, "1 ×"], [2, "2 ×"], [4, "4 ×"]])
    speed.append(make("option", { value }, name));
  speed.value = "1";
  const [step, stepLabel] = range("step", 1, show);
  const [episode, episodeLabel] = range("episode", count - 1, another);
  let [timer, move, shown] = [null, null, []];

  function another() {
    shown = view.policies.map((policy) => policy.episodes[episode.value]);
    step.max = Math.max(...shown.map((each) => each.states.length)) - 1;
    step.value = 0;
    const [node, moves] = curves(shown, view.table.lines, Math.max(figure.clientWidth, 280));
    move = moves;
    plot.replaceChildren(node);
    show();
  }
  function show() {
    const at = Number(step.value);
    const texts = shown.map((each, number) => {
      const last = each.states.length - 1;
      const now = Math.min(at, last);
      const [[, place], caption] = scenes[number];
      place(each.states[now], now && each.actions ? each.actions[now - 1] : null);
      const best = Math.max(...each.rewards.slice(0, now + 1));
      const ended = now < last ? "" : each.rewards[last] > 999 ? ", solved" : ", end";
      const { name } = view.policies[number];
      const text = `${name ? name + ": " : ""}reward ${(each.rewards[now] / 1000).toFixed(2)}${ended}`;
      caption.textContent = text;
      caption.style.borderColor = view.table.lines[number];
      return `${text}, largest ${(best / 1000).toFixed(2)}`;
    });
    move(at);
    const of = count > 1 ? `Episode ${episode.value}: ` : "";
    line.textContent = `${of}${(at * STEP).toFixed(1)} s, step ${at} of ${step.max}.`;
    step.setAttribute("aria-valuetext", `${line.textContent} ${texts.join(". ")}`);
  }
  function stop() {
    clearInterval(timer);
    timer = null;
    button.textContent = "Play";
  }
  function play() {
    if (step.value === step.max) step.value = 0;
    button.textContent = "Pause";
    timer = setInterval(() => {
      step.value = Number(step.value) + 1;
      show();
      if (step.value === step.max) stop();
    }, (1000 * STEP) / speed.value);
  }
  button.addEventListener("click", () => (timer === null ? play() : stop()));
  speed.addEventListener("change", () => {
    if (timer !== null) {
      stop();
      play();
    }
  });
  const controls = make("div", { class: "kit-controls" }, button, stepLabel, speed);
  if (count > 1) controls.append(episodeLabel);
  const row = make("div", { class: "kit-scenes" });
  for (const [[node], caption] of scenes) row.append(make("figure", {}, node, caption));
  figure.replaceChildren(controls, row, plot, line);
  another();
}

for (const figure of document.querySelectorAll("figure.kit-view")) {
  const view = JSON.parse(figure.querySelector("script").textContent);
  (view.kind === "player" ? player : slider)(figure, view);
}

document.querySelector(".md-search")?.setAttribute("aria-label", "Search");

// What scrolls sideways can be scrolled by keyboard.
function reachable() {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code, .md-typeset .mermaid"))
    if (!box.hasAttribute("tabindex")) box.setAttribute("tabindex", "0");
}
reachable();
new MutationObserver(reachable).observe(document.body, { childList: true, subtree: true });
