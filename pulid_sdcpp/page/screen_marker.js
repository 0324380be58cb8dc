// Tells Python that its screen comes into sight.
const tell = (name) => { if (name === props.screen) trigger("select", {}); };
document.addEventListener("pulid-screen", (event) => tell(event.detail));
if (document.body.dataset.screen) tell(document.body.dataset.screen);
