"""The page that asks for the key: a form without anything of Gradio, which a script sends."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from markupsafe import Markup

from . import texts

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["login_page"]

_STYLE = """
:root { color-scheme: light dark; --back: #fafaf9; --box: #fff; --text: #1c1917; --line: #a8a29e;
  --main: #4338ca; --bad: #991b1b; }
@media (prefers-color-scheme: dark) { :root { --back: #0c0a09; --box: #1c1917; --text: #f5f5f4;
  --line: #78716c; --main: #a5b4fc; --bad: #fca5a5; } }
body { margin: 0; min-height: 100dvh; display: grid; place-items: center; background: var(--back);
  color: var(--text); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { width: min(24rem, 100vw - 2rem); box-sizing: border-box; padding: 2rem; border-radius: 1rem;
  background: var(--box); box-shadow: 0 1px 4px #0003; }
h1 { margin: 0 0 1rem; font-size: 1.4rem; }
label { display: block; font-weight: 600; margin-bottom: .3rem; }
input, button { width: 100%; box-sizing: border-box; min-height: 48px; font: inherit;
  border-radius: .6rem; }
input { padding: 0 .8rem; border: 1px solid var(--line); background: var(--back);
  color: var(--text); }
button { margin-top: 1rem; border: 0; background: #4338ca; color: #fff; font-weight: 600;
  cursor: pointer; }
:focus-visible { outline: 3px solid var(--main); outline-offset: 2px; }
p { margin: .6rem 0 0; } .bad { color: var(--bad); } .hint { font-size: .9rem; }
"""
_SCRIPT = """
const form = document.querySelector("form"), bad = document.querySelector(".bad");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = form.elements.key.value;
  try {
    const answer = await fetch("login", {method: "POST", body: JSON.stringify({key}),
                                         headers: {"Content-Type": "application/json"}});
    if (answer.ok) { location.replace("../" + location.hash); return; }
    const said = await answer.json();
    bad.textContent = said.error?.message ?? bad.dataset.failed;
  } catch { bad.textContent = bad.dataset.failed; }
  form.elements.key.select();
});
"""


def login_page(request: Request, problem: str) -> Response:
    """The answer to `GET /ui/login`.

    Args:
        request: For the prefix of addresses.
        problem: What was wrong with a link; "": nothing.
    """
    from starlette.responses import HTMLResponse

    nonce = secrets.token_urlsafe(16)
    page = Markup(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<style>{}</style></head><body><main><h1>{}</h1><form>"
        '<label for="key">{}</label><input id="key" name="key" type="password" required autofocus '
        'autocomplete="current-password"><button>{}</button>'
        '<p class="bad" role="alert" data-failed="{}">{}</p><p class="hint">{}</p>'
        "<noscript><p>{}</p></noscript></form></main>"
        '<script nonce="{}">{}</script></body></html>'
    ).format(
        *(texts.PRODUCT, Markup(_STYLE), texts.LOG_IN_TITLE, texts.KEY, texts.LOG_IN),
        *(texts.NO_ANSWER, problem, texts.KEY_HINT, texts.NO_SCRIPTS, nonce, Markup(_SCRIPT)),
    )
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; "
        "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(
        str(page), headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    )
