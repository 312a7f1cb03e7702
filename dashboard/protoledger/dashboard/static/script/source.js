// Where views come from: the server's stream, or, in a report, the page itself.

const kept = document.getElementById("report");
/** What a report holds: views, explanations and when it was made; null on a live page. */
export const report = kept ? JSON.parse(kept.textContent) : null;

const LONGEST_MS = 8000;
const AGAIN_MS = 5000;

/** Follows a view until the function that it returns is called. */
export function follow(view, onView, onState) {
  if (report) {
    onState("report");
    onView(report.views[view]);
    return () => {};
  }
  let stream = null, timer = null, wait = 500, ended = false, silent = null;

  function alive() {
    wait = 500;
    onState("live");
    clearTimeout(silent);
    silent = setTimeout(lost, 25000); // the server gives a sign of life every 10 s
  }

  function lost() {
    clearTimeout(silent);
    if (stream) stream.close();
    if (ended) return;
    onState("lost");
    clearTimeout(timer);
    timer = setTimeout(open, wait);
    wait = Math.min(LONGEST_MS, 2 * wait);
  }

  async function open() {
    try {
      const answer = await fetch(`/api/views/${view}`, { cache: "no-store" });
      if (answer.status === 401) { location.assign("/login"); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const content = await answer.json();
      if (ended) return;
      alive();
      onView(content);
    } catch { lost(); return; }
    let heard = false;
    stream = new EventSource(`/events?view=${view}`);
    stream.addEventListener("view", (event) => { heard = true; alive(); onView(JSON.parse(event.data)); });
    stream.addEventListener("beat", alive);
    stream.onerror = () => {
      if (heard) { lost(); return; }
      stream.close(); // as many streams are open as there may be: ask from time to time instead
      clearTimeout(timer);
      timer = setTimeout(open, AGAIN_MS);
    };
  }

  open();
  return () => {
    ended = true;
    clearTimeout(timer);
    clearTimeout(silent);
    if (stream) stream.close();
  };
}

/** Returns the explanation of a prediction; null if it is not kept. */
export async function explanationOf(site, n) {
  if (report) return (report.explanations[site] || {})[n] || null;
  const answer = await fetch(`/api/explain/${encodeURIComponent(site)}/${n}`, { cache: "no-store" });
  return answer.ok ? answer.json() : null;
}
