// A stage in the picture's shape with a box for each person, to drag, resize, or say in numbers.
// WORDS, before this, has the words. The value is {ratio, people: [{card, name, box: [x, y, width, height] in parts, or null}]}.
const STEP = 0.01, LEAST = 0.05;
const COLOURS = ["#4f46e5", "#c2410c", "#0f766e", "#a21caf", "#4d7c0f", "#be123c", "#0369a1", "#854d0e"];
const round = (x) => Math.round(x * 1000) / 1000;
const between = (x, low, high) => Math.min(Math.max(x, low), high);
let drawn = "";

const people = () => props.value?.people ?? [];
const fitted = ([x, y, w, h]) => {
  w = between(w, LEAST, 1); h = between(h, LEAST, 1);
  return [between(x, 0, 1 - w), between(y, 0, 1 - h), w, h].map(round);
};
const make = (tag, settings, ...inside) => {
  const node = Object.assign(document.createElement(tag), settings);
  node.append(...inside);
  return node;
};
const words = (person) => person.box
  ? `${person.name}: ${person.box.map((part) => Math.round(part * 100) + " %").join(", ")}`
  : person.name;
const place = (node, box) => {
  ["left", "top", "width", "height"].forEach((side, i) => { node.style[side] = `${box[i] * 100}%`; });
};
const say = (index, box) => {
  const next = people().map((one, i) => (i === index ? {...one, box: box && fitted(box)} : one));
  drawn = "";
  props.value = {...props.value, people: next};
  draw();
  trigger("change");
};
const overlapping = (index) => {
  const a = people()[index].box;
  return a && people().some(({box: b}, i) => i !== index && b &&
    Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0]) > 0.001 &&
    Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]) > 0.001);
};

const boxOf = (person, index) => {
  const node = make("div", {className: "stage-box", tabIndex: 0, role: "group"},
    make("span", {className: "stage-name", textContent: person.name}),
    make("span", {className: "stage-corner"}));
  node.setAttribute("aria-label", `${words(person)}. ${WORDS.help}`);
  node.dataset.key = `box-${index}`;
  node.style.setProperty("--colour", COLOURS[person.card % COLOURS.length]);
  if (overlapping(index)) node.classList.add("overlaps");
  place(node, person.box);
  node.addEventListener("pointerdown", (down) => {
    if (down.button !== 0) return;
    down.preventDefault();
    node.focus();
    node.setPointerCapture(down.pointerId);
    const stage = node.parentElement.getBoundingClientRect();
    const isCorner = down.target.matches(".stage-corner");
    const from = person.box;
    let now = from;
    const move = (event) => {
      const dx = (event.clientX - down.clientX) / stage.width;
      const dy = (event.clientY - down.clientY) / stage.height;
      const [x, y, w, h] = from;
      now = isCorner
        ? [x, y, between(w + dx, LEAST, 1 - x), between(h + dy, LEAST, 1 - y)]
        : fitted([x + dx, y + dy, w, h]);
      place(node, now);
    };
    const end = (event) => {
      node.removeEventListener("pointermove", move);
      if (event.type === "pointerup" && now !== from) say(index, now);
      else place(node, from);
    };
    node.addEventListener("pointermove", move);
    node.addEventListener("pointerup", end, {once: true});
    node.addEventListener("pointercancel", end, {once: true});
  });
  node.addEventListener("keydown", (event) => {
    const way = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    if (event.key === "Delete" || event.key === "Backspace") say(index, null);
    else if (way) {
      const [x, y, w, h] = person.box;
      const [dx, dy] = way.map((part) => part * STEP);
      say(index, event.shiftKey ? [x, y, w + dx, h + dy] : [x + dx, y + dy, w, h]);
    } else return;
    event.preventDefault();
  });
  return node;
};

const rowOf = (person, index) => {
  const row = make("fieldset", {className: "stage-row"}, make("legend", {textContent: person.name}));
  row.style.setProperty("--colour", COLOURS[person.card % COLOURS.length]);
  if (person.painted) {
    row.append(make("p", {className: "stage-note", textContent: WORDS.painted}));
    return row;
  }
  const preset = make("select", {});
  preset.setAttribute("aria-label", `${person.name}: ${WORDS.where}`);
  preset.dataset.key = `preset-${index}`;
  for (const [text, box] of WORDS.places) preset.append(make("option", {textContent: text, value: JSON.stringify(box)}));
  const known = JSON.stringify(person.box);
  if (![...preset.options].some((one) => one.value === known)) {
    preset.append(make("option", {textContent: WORDS.own, value: known}));
  }
  preset.value = known;
  preset.addEventListener("change", () => say(index, JSON.parse(preset.value)));
  row.append(preset);
  if (!person.box) return row;
  WORDS.sides.forEach((side, i) => {
    const input = make("input", {type: "number", min: 0, max: 100, step: 1, value: Math.round(person.box[i] * 100)});
    input.dataset.key = `side-${index}-${i}`;
    input.addEventListener("change", () => {
      const box = [...person.box];
      box[i] = between(Number(input.value) / 100 || 0, 0, 1);
      if (i > 1) box[i - 2] = Math.min(box[i - 2], 1 - box[i]);
      say(index, box);
    });
    row.append(make("label", {}, side, input, "%"));
  });
  if (overlapping(index)) row.append(make("p", {className: "stage-note", textContent: WORDS.overlap}));
  return row;
};

const draw = () => {
  const now = JSON.stringify(props.value ?? null);
  if (now === drawn && element.firstElementChild) return;
  drawn = now;
  const focused = element.contains(document.activeElement) ? document.activeElement.dataset.key : "";
  const stage = make("div", {className: "stage"},
    ...people().flatMap((person, i) => (person.box ? [boxOf(person, i)] : [])));
  const ratio = props.value?.ratio ?? 1;
  stage.style.aspectRatio = String(ratio);
  stage.style.maxWidth = `calc(45dvh * ${ratio})`;
  const nobody = make("p", {className: "field-note", textContent: WORDS.nobody});
  element.replaceChildren(...(people().length ? [stage, ...people().map(rowOf)] : [nobody]));
  if (focused) {
    const found = element.querySelector(`[data-key="${focused}"]`) ??
      element.querySelector(`[data-key="${focused.replace("box", "preset")}"]`);
    found?.focus({preventScroll: true});
  }
};
watch("value", draw);
draw();
