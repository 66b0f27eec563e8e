// The part in the page of a picture with sliders (see moving.py), and of a player, which also plays
// along its first slider. It sends the sliders' positions to the kernel, and the next ones only
// after the picture for the last ones has arrived.
const BUSY = 1500; // ms without an answer after which the page says so
const WAITING = "Waiting for the kernel: it is busy, or the cell must be run again.";
const SPEEDS = [["½ ×", 0.5], ["1 ×", 1], ["2 ×", 2], ["4 ×", 4]];
const [PLAY, PAUSE] = ["▶ Play", "❚❚ Pause"];

const STYLE = `
  .pusht-moving { max-width: 720px; color: var(--jp-ui-font-color1, inherit);
    font: 14px/1.5 system-ui, sans-serif; }
  .pusht-moving .controls { display: flex; flex-wrap: wrap; align-items: center; gap: 8px 16px;
    margin: 8px 0; }
  .pusht-moving label { display: flex; flex: 1 1 240px; align-items: center; gap: 8px; }
  .pusht-moving label:first-of-type { flex: 3 1 300px; }
  .pusht-moving input { flex: 1; min-width: 80px; }
  .pusht-moving label span { min-width: 3em; font-variant-numeric: tabular-nums; }
  .pusht-moving button { padding: 4px 10px; border: 1px solid currentColor; border-radius: 4px;
    background: transparent; color: inherit; font: inherit; cursor: pointer; }
  .pusht-moving .play { min-width: 90px; }
  .pusht-moving button[aria-pressed="true"] { font-weight: bold; border-width: 2px; }
  .pusht-moving :is(button, input):focus-visible { outline-offset: 2px;
    outline: 3px solid var(--jp-brand-color1, #0072b2); }
  .pusht-moving img { display: block; max-width: 100%; height: auto; }
  .pusht-moving p { margin: 4px 0; font-size: 90%; }
`;

// An element with these properties and, for names with a hyphen, attributes.
function made(name, properties, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children);
  return element;
}

function render({ model, el }) {
  const { label, sliders, last, interval, width } = model.get("controls");
  const picture = made("img", { width });
  // Screen readers read the same sentence as the picture's text.
  const said = made("p", { "aria-hidden": "true" });
  const controls = made("div", { className: "controls" });
  const inputs = sliders.map(({ name, values, start }, i) => {
    const value = made("span", { "aria-hidden": "true" }); // the slider tells it
    const input = made("input", { type: "range", min: 0, max: last[i], step: 1 });
    input.value = start;
    input.show = () => {
      value.textContent = values[input.value];
      input.setAttribute("aria-valuetext", `${name} ${values[input.value]}`);
    };
    input.setAttribute("aria-label", name);
    input.addEventListener("input", () => moved(input));
    input.show();
    controls.append(made("label", {}, name, input, value));
    return input;
  });
  let playing = false, wanted = false, waiting = false, speed = 1;
  let sent = 0, next = null, busy = null, url = null;

  function ask() {
    if (waiting) return (wanted = true);
    [wanted, waiting, sent] = [false, true, performance.now()];
    busy = setTimeout(() => (said.textContent = WAITING), BUSY);
    model.send({ at: inputs.map((input) => +input.value) });
  }

  function moved(input) {
    if (input !== inputs[0] && interval) inputs[0].value = 0; // another episode, from its start
    for (const each of inputs) each.show();
    ask();
  }

  function show(png, alt) {
    if (url) URL.revokeObjectURL(url);
    url = URL.createObjectURL(new Blob([png], { type: "image/png" }));
    [picture.src, picture.alt, said.textContent] = [url, alt, alt];
  }

  function receive(answer, buffers) {
    clearTimeout(busy);
    waiting = false;
    inputs.forEach((input, i) => {
      input.max = answer.last[i];
      input.show();
    });
    show(buffers[0], answer.alt);
    if (wanted) ask();
    else if (playing) later();
  }

  // Playing.

  const button = made("button", { type: "button", className: "play", textContent: PLAY });

  function play(on) {
    playing = on;
    button.textContent = on ? PAUSE : PLAY;
    clearTimeout(next);
  }

  function later() {
    const [step] = inputs;
    if (+step.value >= +step.max) return play(false);
    clearTimeout(next);
    next = setTimeout(() => {
      step.value = +step.value + 1;
      moved(step);
    }, Math.max(0, sent + interval / speed - performance.now()));
  }

  button.addEventListener("click", () => {
    play(!playing);
    if (!playing) return;
    const [step] = inputs;
    if (+step.value >= +step.max) step.value = 0;
    moved(step);
  });

  if (interval) {
    const speeds = SPEEDS.map(([text, times]) => {
      const choice = made("button", { type: "button", textContent: text });
      choice.addEventListener("click", () => choose(times));
      return [choice, times];
    });
    const choose = (times) => {
      speed = times;
      for (const [each, its] of speeds) each.setAttribute("aria-pressed", its === times);
    };
    choose(1);
    const group = made("div", { role: "group", "aria-label": "speed" });
    group.append(...speeds.flatMap(([choice]) => [choice, " "]));
    controls.prepend(button);
    controls.append(group);
  }

  // This runs before JupyterLab's own handler, for which keys are commands on its cells.
  function press(event) {
    const modified = event.ctrlKey || event.metaKey || event.altKey || event.shiftKey;
    if (el.contains(event.target) && !modified) event.stopPropagation();
  }

  window.addEventListener("keydown", press, true);
  const names = { className: "pusht-widget pusht-moving", role: "group", "aria-label": label };
  el.append(made("div", names, made("style", {}, STYLE), controls, picture, said));
  model.on("msg:custom", receive);
  show(model.get("first"), model.get("alt"));

  return () => {
    window.removeEventListener("keydown", press, true);
    model.off("msg:custom", receive);
    for (const timer of [next, busy]) clearTimeout(timer);
    if (url) URL.revokeObjectURL(url);
  };
}

export default { render };
