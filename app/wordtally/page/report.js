"use strict";

/** @typedef {{word: string, times: number}} Entry */

const NUMBER = new Intl.NumberFormat("en");

/**
 * Fetch the report from a URL.
 *
 * @param {string} url
 * @returns {Promise<Entry[]>}
 * @throws {Refusal}
 */
async function read(url) {
  // Two reports within a second may have the same URL.
  const sentence = "The report could not be opened.";
  const { answer, body } = await fetched(url, { cache: "no-store" }, sentence);
  if (!answer.ok || !Array.isArray(body.top10words) || !body.top10words.every(isEntry)) {
    throw new Refusal("unknown", sentence);
  }
  return body.top10words;
}

/** @param {any} entry */
function isEntry(entry) {
  return typeof entry?.word === "string" && entry.times > 0;
}

/**
 * Draw the report into the body of a table. Rows are reused, so that bars grow from their old size.
 *
 * @param {HTMLTableSectionElement} rows
 * @param {Entry[]} entries
 */
function draw(rows, entries) {
  while (rows.rows.length > entries.length) {
    rows.deleteRow(-1);
  }
  const most = entries.length ? entries[0].times : 1;
  entries.forEach(({ word, times }, place) => {
    const row = rows.rows[place] ?? appendRow(rows);
    const name = /** @type {HTMLElement} */ (row.cells[0].firstElementChild);
    name.textContent = name.title = word;
    const bar = /** @type {HTMLElement} */ (row.cells[1].firstElementChild);
    bar.style.setProperty("--share", String(times / most));
    bar.nextSibling?.replaceWith(NUMBER.format(times));
  });
}

/** @param {HTMLTableSectionElement} rows */
function appendRow(rows) {
  const row = rows.insertRow();
  const header = document.createElement("th");
  header.scope = "row";
  const name = document.createElement("div");
  name.dir = "auto"; // each word has its own direction
  header.append(name);
  const bar = document.createElement("span");
  bar.className = "bar";
  row.append(header);
  row.insertCell().append(bar, "");
  return row;
}

/**
 * Refreshes the report immediately, then every few seconds while the page is visible. The interval
 * grows with each failure.
 */
class Renewal {
  static SECONDS = 10;
  static MOST_SECONDS = 300;

  #failures = 0;
  #timer = 0;
  #running = false;

  /** @param {() => Promise<boolean>} renew resolves to whether it succeeded */
  constructor(renew) {
    this.renew = renew;
    document.addEventListener("visibilitychange", () =>
      document.hidden ? this.stop() : this.now(),
    );
    window.addEventListener("online", () => this.now());
  }

  stop() {
    clearTimeout(this.#timer);
  }

  /** Refresh after the interval, which starts now. */
  later() {
    this.stop();
    if (!document.hidden) {
      const seconds = Math.min(Renewal.SECONDS * 2 ** this.#failures, Renewal.MOST_SECONDS);
      this.#timer = setTimeout(() => this.now(), seconds * 1000);
    }
  }

  async now() {
    this.stop();
    if (this.#running) {
      return;
    }
    this.#running = true;
    let succeeded = false;
    try {
      succeeded = await this.renew();
    } finally {
      this.#failures = succeeded ? 0 : this.#failures + 1;
      this.#running = false;
      this.later();
    }
  }
}
