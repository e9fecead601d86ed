// Fetch the page every 10 s and replace <main>; keep scroll positions, unfolded details and focus.
"use strict";

const EVERY = 10000;
const stale = document.querySelector(".stale");

function inUse(main) {
  const chosen = document.getSelection();
  return chosen && !chosen.isCollapsed && main.contains(chosen.anchorNode);
}

function keep(before, after) {
  const old = [...before.querySelectorAll(".scroll")];
  const fresh = [...after.querySelectorAll(".scroll")];
  for (const details of after.querySelectorAll("details[id]")) {
    const known = document.getElementById(details.id);
    if (known) details.open = known.open;
  }
  const href = before.contains(document.activeElement) && document.activeElement.getAttribute("href");
  const offsets = new Map(old.map((box) => [box.getAttribute("aria-label"), box.scrollLeft]));
  return () => {
    for (const box of fresh) box.scrollLeft = offsets.get(box.getAttribute("aria-label")) || 0;
    if (href) after.querySelector(`a[href="${CSS.escape(href)}"]`)?.focus({ preventScroll: true });
  };
}

async function refresh() {
  const before = document.querySelector("main");
  if (document.hidden || inUse(before)) return;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const after = document.importNode(page.querySelector("main"), true);
    // load pictures before they are shown, to avoid flicker
    await Promise.all([...after.querySelectorAll("img")].map((image) => image.decode().catch(() => {})));
    const restore = keep(before, after);
    before.replaceWith(after);
    restore();
    document.title = page.title;
    stale.hidden = true;
  } catch {
    stale.hidden = false;
  }
}

setInterval(refresh, EVERY);
document.addEventListener("visibilitychange", refresh);
