// The game's script in the page (see play.py): it sends pointer and keys to the kernel, one control
// step at a time, and shows the answer.
const INTERVAL = 100; // least ms between two steps; a slow answer makes it longer
const BUSY = 1500; // ms without an answer after which the page says so
const WAITING = "Waiting for the kernel: it is busy, or the cell must be run again.";
const KEYS = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
  KeyA: [-1, 0], KeyD: [1, 0], KeyW: [0, -1], KeyS: [0, 1],
};
const COMMANDS = { Enter: "keep", KeyR: "again", KeyN: "next" };

// The pointer also counts in a margin around the canvas, because players overshoot near a wall.
const PAGE = `
<style>
  .pusht-play { max-width: 500px; color: var(--jp-ui-font-color1, inherit);
    font: 14px/1.5 system-ui, sans-serif; }
  .pusht-play .table { padding: 20px; border: 2px solid transparent; border-radius: 6px;
    touch-action: none; cursor: crosshair; }
  .pusht-play .table:focus { outline: none; border-color: var(--jp-brand-color1, #0072b2); }
  .pusht-play canvas { display: block; width: 100%; background: white; }
  .pusht-play p { margin: 0 22px 6px; }
  .pusht-play .say { min-height: 3em; }
  .pusht-play .status { font-variant-numeric: tabular-nums; white-space: pre-wrap; }
  .pusht-play .commands { display: flex; flex-wrap: wrap; gap: 8px; margin: 0 22px 8px; }
  .pusht-play button { padding: 4px 12px; border: 1px solid currentColor; border-radius: 4px;
    background: transparent; color: inherit; font: inherit; cursor: pointer; }
  .pusht-play button:focus-visible { outline: 3px solid var(--jp-brand-color1, #0072b2);
    outline-offset: 2px; }
</style>
<div class="pusht-widget pusht-play" role="group" aria-label="Play Push-T">
  <div class="table" tabindex="0" role="application"
    aria-label="Table. Arrow keys or W, A, S, D move the agent; Enter keeps the episode,
      R begins it again, N goes to the next start.">
    <canvas width="512" height="512" role="img"></canvas>
  </div>
  <p class="status"></p>
  <p class="say" aria-live="polite"></p>
  <div class="commands">
    <button type="button" data-do="keep">Keep (Enter)</button>
    <button type="button" data-do="again">Again (R)</button>
    <button type="button" data-do="next">Next start (N)</button>
  </div>
</div>`;

function render({ model, el }) {
  el.innerHTML = PAGE;
  const [table, canvas, status, say] = [".table", "canvas", ".status", ".say"].map((name) =>
    el.querySelector(name),
  );
  const commands = []; // requested and not yet sent
  const held = new Set(); // keys that are down
  let tapped = []; // keys pressed since the last step, even if they have been released
  let mover = null; // what moves the agent: "pointer" or "keys"
  let pointer = null; // [x, y] in window pixels, while it is over the table
  let moved = false; // has the pointer moved since the last step?
  let still = true; // would a step change nothing?
  let sent = -INTERVAL, waiting = false, timer = null, busy = null;

  function message() {
    if (commands.length) return { do: commands.shift() };
    if (mover === "keys") {
      const push = [0, 0];
      for (const key of new Set([...held, ...tapped])) KEYS[key].forEach((d, i) => (push[i] += d));
      tapped = [];
      if (push[0] || push[1] || !still) return { push };
    }
    if (mover === "pointer" && pointer && (moved || !still)) return { target: pointer };
  }

  function tick() {
    timer = null;
    const next = message();
    if (!next) return;
    [sent, waiting, moved] = [performance.now(), true, false];
    busy = setTimeout(() => (say.textContent = WAITING), BUSY);
    model.send(next);
  }

  function schedule() {
    if (waiting || timer !== null) return;
    timer = setTimeout(tick, Math.max(0, sent + INTERVAL - performance.now()));
  }

  async function show(png) {
    const picture = await createImageBitmap(new Blob([png], { type: "image/png" }));
    canvas.getContext("2d").drawImage(picture, 0, 0);
  }

  async function receive(answer, buffers) {
    clearTimeout(busy);
    status.textContent = answer.status;
    // Screen readers read a text again whenever it is set.
    if (say.textContent !== answer.say) say.textContent = answer.say;
    canvas.setAttribute("aria-label", answer.alt);
    still = answer.still;
    try {
      await show(buffers[0]);
    } finally {
      waiting = false; // the game continues even if a picture cannot be shown
      schedule();
    }
  }

  function request(command) {
    commands.push(command);
    schedule();
  }

  table.addEventListener("pointermove", (event) => {
    const { left, top, width } = canvas.getBoundingClientRect();
    const place = [event.clientX - left, event.clientY - top];
    pointer = place.map((at) => Math.min(512, Math.max(0, (at / width) * 512)));
    [mover, moved] = ["pointer", true];
    schedule();
  });
  table.addEventListener("pointerdown", () => table.focus({ preventScroll: true }));
  table.addEventListener("pointerleave", () => {
    pointer = null;
    if (mover === "pointer") request("release");
  });
  // This runs before JupyterLab's own handler, for which plain keys are commands: D pressed twice
  // deletes the cell.
  function press(event) {
    const modified = event.ctrlKey || event.metaKey || event.altKey || event.shiftKey;
    if (event.target !== table || modified) return;
    event.stopPropagation();
    if (!(event.code in KEYS || event.code in COMMANDS)) return;
    event.preventDefault();
    if (event.repeat) return;
    if (event.code in COMMANDS) return request(COMMANDS[event.code]);
    held.add(event.code);
    tapped.push(event.code);
    mover = "keys";
    schedule();
  }

  window.addEventListener("keydown", press, true);
  table.addEventListener("keyup", (event) => held.delete(event.code));
  table.addEventListener("blur", () => held.clear());
  for (const button of el.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      request(button.dataset.do);
      table.focus({ preventScroll: true });
    });
  }
  model.on("msg:custom", receive);
  show(model.get("first"));
  request("look");

  return () => {
    window.removeEventListener("keydown", press, true);
    model.off("msg:custom", receive);
    clearTimeout(timer);
    clearTimeout(busy);
  };
}

export default { render };
