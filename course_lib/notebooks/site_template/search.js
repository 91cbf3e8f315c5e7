// Hide the entries that lack one of the words typed. Without this script all are shown.
const box = document.getElementById("words");
const told = document.getElementById("told");
const entries = [...document.querySelectorAll("#entries > li")].map((item) => ({
  item,
  text: (item.textContent + " " + (item.dataset.text || "")).toLowerCase(),
}));

function search() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const { item, text } of entries) {
    const fits = words.every((word) => text.includes(word));
    item.hidden = !fits;
    found += fits;
    const said = item.querySelector(".found");
    said.textContent = fits && words.length ? around(item.dataset.text, words) : "";
  }
  told.textContent = words.length ? `${found} of ${entries.length} fit` : "";
}

// Some words before and after the first word that was found in the text.
function around(text, words) {
  const lower = text.toLowerCase();
  const places = words.map((word) => lower.indexOf(word)).filter((place) => place >= 0);
  if (!places.length) return "";
  const from = Math.max(0, Math.min(...places) - 60);
  const to = Math.min(text.length, Math.min(...places) + 120);
  return (from ? "…" : "") + text.slice(from, to) + (to < text.length ? "…" : "");
}

box.closest(".search").hidden = false;
box.addEventListener("input", search);
