// Shows the screen that the address names behind its #.
const links = [...element.querySelectorAll("[data-screen]")];
const names = links.map((link) => link.dataset.screen);
const more = element.querySelector(".more");
const open = (is) => {
  element.classList.toggle("opened", is);
  more.setAttribute("aria-expanded", String(is));
};
const headingOf = (name) => document.querySelector(`#screen-${name} h2`);
const show = (moveFocus) => {
  const wanted = location.hash.slice(1);
  const name = names.includes(wanted) ? wanted : names[0];
  document.body.dataset.screen = name;
  for (const link of links) {
    if (link.dataset.screen === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  more.classList.toggle("current", element.querySelector("[aria-current]").matches(".beyond"));
  open(false);
  window.scrollTo(0, 0);
  if (moveFocus) headingOf(name)?.focus({preventScroll: true});
  document.dispatchEvent(new CustomEvent("pulid-screen", {detail: name}));
};
more.addEventListener("click", () => open(more.getAttribute("aria-expanded") !== "true"));
element.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { open(false); more.focus(); }
});
element.querySelector(".skip").addEventListener("click", () =>
  headingOf(document.body.dataset.screen)?.focus());
window.addEventListener("hashchange", () => show(true));
watch("value", () => {
  if (!names.includes(props.value)) return;
  location.hash = props.value;
  props.value = "";  // the same screen's name is a change the next time, too
});
document.addEventListener("keydown", (event) => {
  if (document.body.dataset.screen !== "create" || document.querySelector("dialog:modal")) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    document.activeElement?.blur();  // the field tells its value as it is left
    setTimeout(() => document.querySelector("#generate")?.click(), 50);
  } else if (event.key === "Escape" && !element.contains(event.target) &&
             event.target.getAttribute("aria-expanded") !== "true") {
    const cancel = document.querySelector(".now-cancel:not(:disabled)");
    if (cancel && confirm(cancel.dataset.ask)) cancel.click();
  }
});
document.addEventListener("click", async (event) => {
  if (!event.target.closest?.("#log-out")) return;
  await fetch("ui/logout", {method: "POST"});
  localStorage.removeItem("pulid-create");  // the form, which whoever comes next may not see
  location.assign("ui/login");
});
document.documentElement.lang = "en";
show(false);
