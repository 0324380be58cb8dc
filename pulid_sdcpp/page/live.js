// What `live` does in the browser. Python gives it HTML; this tells Python what was pressed.
//   data-do="NAME"       a button, or a field that tells of its change; a form's fields go along
//   data-pick="ID"       a check box; what is picked goes along as `picked`
//   data-card            arrows move the focus among these
//   data-more            pressed as soon as it comes into sight
//   <dialog>             is shown as long as it is there; Escape and data-close are "closed"
const picked = new Set();
let opener = null;

const fieldsOf = (node) => {
  const form = node.closest("form");
  if (!form) return {};
  const found = {};
  for (const [name, value] of new FormData(form)) (found[name] ??= []).push(value);
  return found;
};
const tell = (node, name) =>
  trigger("act", {do: name, id: node.dataset.id ?? "", fields: fieldsOf(node), picked: [...picked],
                  value: node.type === "checkbox" ? node.checked : node.value ?? ""});
const showPicked = () => {
  const boxes = [...element.querySelectorAll("[data-pick]")];
  const there = new Set(boxes.map((box) => box.dataset.pick));
  for (const id of [...picked]) if (!there.has(id)) picked.delete(id);
  for (const box of boxes) box.checked = picked.has(box.dataset.pick);
  for (const bar of element.querySelectorAll("[data-picked]")) bar.hidden = picked.size === 0;
  for (const count of element.querySelectorAll("[data-count]")) count.textContent = picked.size;
};
const closed = () => {
  if (opener?.isConnected) opener.focus();
  opener = null;
};
const render = () => {
  showPicked();
  const dialog = element.querySelector("dialog");
  if (dialog && !dialog.matches(":modal")) {
    dialog.removeAttribute("open");
    opener ??= document.activeElement;
    dialog.showModal();
  } else if (!dialog && opener) closed();
  const more = element.querySelector("[data-more]");
  seen.disconnect();
  if (more) seen.observe(more);
};
const seen = new IntersectionObserver((entries) => {
  if (entries.some((one) => one.isIntersecting)) {
    seen.disconnect();
    tell(entries[0].target, entries[0].target.dataset.do);
  }
}, {rootMargin: "400px"});

element.addEventListener("click", (event) => {
  const node = event.target.closest("[data-do], [data-close], [data-local]");
  if (!node || node.matches("input, select, textarea")) return;
  if (node.dataset.local === "clear") { picked.clear(); showPicked(); return; }
  if (node.dataset.local === "all") {
    for (const box of element.querySelectorAll("[data-pick]")) picked.add(box.dataset.pick);
    showPicked();
    return;
  }
  if (node.dataset.local === "zip") { savePicked(node); return; }
  if (node.type === "submit" && node.form) return;  // the form tells it
  if (node.hasAttribute("data-close")) tell(node, "closed");
  else tell(node, node.dataset.do);
});
element.addEventListener("submit", (event) => {
  event.preventDefault();
  tell(event.submitter ?? event.target, (event.submitter ?? event.target).dataset.do);
});
element.addEventListener("change", (event) => {
  const node = event.target;
  if (node.dataset.pick) {
    if (node.checked) picked.add(node.dataset.pick); else picked.delete(node.dataset.pick);
    showPicked();
  } else if (node.dataset.do) tell(node, node.dataset.do);
});
element.addEventListener("cancel", (event) => {
  event.preventDefault();  // Escape: Python takes the dialog away
  trigger("act", {do: "closed", id: "", fields: {}, picked: [], value: ""});
}, true);
element.addEventListener("keydown", (event) => {
  const dialog = event.target.closest("dialog");
  const way = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -2, ArrowDown: 2, Home: -9, End: 9}[event.key];
  if (!way || event.target.matches("input:not([type=checkbox]), textarea, select")) return;
  if (dialog) {
    const button = dialog.querySelector(way < 0 ? "[data-back]" : "[data-next]");
    if (Math.abs(way) === 1 && button) { event.preventDefault(); button.click(); }
    return;
  }
  const cards = [...element.querySelectorAll("[data-card]")];
  const here = cards.indexOf(event.target.closest("[data-card]"));
  if (here < 0) return;
  const place = cards.map((card) => card.getBoundingClientRect());
  const next = Math.abs(way) === 9 ? (way < 0 ? cards[0] : cards.at(-1))
    : Math.abs(way) === 1 ? cards[here + way]
    : (way > 0 ? cards.slice(here) : cards.slice(0, here + 1).reverse()).find((card) => {
        const box = card.getBoundingClientRect();
        return Math.abs(box.left - place[here].left) < 4 && card !== cards[here];
      });
  if (next) { event.preventDefault(); next.focus(); next.scrollIntoView({block: "nearest"}); }
});
document.addEventListener("keydown", (event) => {
  const search = event.key === "/" && document.querySelector(`#${props.search} :is(input, textarea)`);
  if (!search || search.offsetParent === null) return;
  if (event.target.matches("input, textarea, select, [contenteditable]")) return;
  event.preventDefault();
  search.focus();
});

// A ZIP file of the picked pictures, not compressed, as PNG is: they are fetched one by one.
const crcTable = Uint32Array.from({length: 256}, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});
const crc32 = (bytes) => {
  let crc = -1;
  for (const byte of bytes) crc = crcTable[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
};
const little = (...pairs) => {
  const out = [];
  for (const [value, size] of pairs) for (let i = 0; i < size; i++) out.push((value >>> (8 * i)) & 255);
  return Uint8Array.from(out);
};
const savePicked = async (button) => {
  const told = button.closest("[data-picked]").querySelector("[role=status]");
  const body = [], index = [];
  let offset = 0;
  button.disabled = true;
  try {
    for (const [number, id] of [...picked].entries()) {
      told.textContent = `${number + 1} / ${picked.size}`;
      const card = element.querySelector(`[data-pick="${CSS.escape(id)}"]`);
      const answer = await fetch(card.dataset.url);
      if (!answer.ok) throw new Error(`${answer.status}`);
      const bytes = new Uint8Array(await answer.arrayBuffer());
      const name = new TextEncoder().encode(`${id}.png`);
      const facts = [[20, 2], [0x800, 2], [0, 2], [0, 2], [33, 2], [crc32(bytes), 4],
                     [bytes.length, 4], [bytes.length, 4], [name.length, 2], [0, 2]];
      const head = little([0x04034b50, 4], ...facts);
      index.push(little([0x02014b50, 4], [20, 2], ...facts, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]), name);
      body.push(head, name, bytes);
      offset += head.length + name.length + bytes.length;
    }
    const size = index.reduce((sum, part) => sum + part.length, 0);
    const end = little([0x06054b50, 4], [0, 2], [0, 2], [picked.size, 2], [picked.size, 2],
                       [size, 4], [offset, 4], [0, 2]);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([...body, ...index, end], {type: "application/zip"}));
    link.download = "pictures.zip";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    told.textContent = "";
  } catch (error) {
    told.textContent = `${button.dataset.failed} (${error.message})`;
  } finally {
    button.disabled = false;
  }
};

watch("value", render);
render();
