// Follows the service: it is told what has changed, and where it cannot be told, it asks every few seconds.
//
// The stream is read with `fetch`, because an `EventSource` cannot send a token. Nothing is shown from it: an event only
// says that it is worth asking again, so an event that is lost costs a few seconds and never the truth.

import { ask } from "./api.js";

const POLL = 4_000;
const SILENCE = 25_000;
const BACKOFF = [1_000, 2_000, 4_000, 8_000, 15_000];

const sleep = (span, signal) =>
  new Promise((done) => {
    const timer = setTimeout(done, span);
    signal?.addEventListener("abort", () => (clearTimeout(timer), done()), { once: true });
  });

/** Calls `changed(fleet)` when one has changed, and `changed(null)` at every poll; ends when `signal` says so. */
export async function follow(changed, signal) {
  poll(changed, signal);
  for (let failures = 0; !signal.aborted; ) {
    const heard = await listen(changed, signal).catch(() => false);
    failures = heard ? 0 : failures + 1;
    await sleep(BACKOFF[Math.min(failures, BACKOFF.length - 1)], signal);
  }
}

async function poll(changed, signal) {
  while (!signal.aborted) {
    await sleep(POLL, signal);
    if (!signal.aborted && !document.hidden) changed(null);
  }
}

/** One stream to its end; whether anything was heard on it. */
async function listen(changed, signal) {
  const ended = new AbortController();
  const stop = () => ended.abort();
  signal.addEventListener("abort", stop, { once: true });
  let silence = setTimeout(stop, SILENCE);
  let heard = false;
  try {
    const response = await ask("/stream", { signal: ended.signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ; ) {
      const { done, value } = await reader.read();
      if (done) return heard;
      heard = true;
      clearTimeout(silence);
      silence = setTimeout(stop, SILENCE);
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line.startsWith("data:")) changed(JSON.parse(line.slice(5)).fleet);
    }
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", stop);
  }
}
