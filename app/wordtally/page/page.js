"use strict";

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
function element(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) {
    throw new TypeError(`#${id} is missing`);
  }
  return found;
}

const api = new Api();

/* The key */

const keyForm = element("key-form", HTMLFormElement);
const keyInput = element("key", HTMLInputElement);
const reportTitle = element("report-title", HTMLElement);
const keyTrouble = element("key-trouble", HTMLElement);

/** @param {string} sentence */
function askForKey(sentence) {
  keyTrouble.textContent = sentence;
  if (keyForm.hidden) {
    keyForm.hidden = false;
    showCurl();
    if (document.activeElement !== textArea) {
      keyInput.focus();
    }
  }
}

keyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  api.key = keyInput.value.trim();
  keyInput.value = "";
  keyForm.hidden = true;
  reportTitle.focus();
  showCurl();
  renewal.now();
  if (posting?.trouble) {
    posting.run();
  }
});

/* The report */

const table = element("report", HTMLTableElement);
const missing = element("report-missing", HTMLElement);
const reportTrouble = element("report-trouble", HTMLElement);
const renewed = element("renewed", HTMLElement);
const json = element("json", HTMLAnchorElement);

let begun = 0;
let shown = 0;

/**
 * Fetch the report from a URL and show it, unless a newer report is already shown.
 *
 * @param {string} url
 */
async function show(url) {
  const number = ++begun;
  const entries = await read(url);
  if (number < shown) {
    return;
  }
  shown = number;
  draw(table.tBodies[0], entries);
  renewed.hidden = json.hidden = false;
  missing.hidden = entries.length > 0;
  table.hidden = !missing.hidden;
  json.href = url;
  const time = /** @type {HTMLTimeElement} */ (renewed.querySelector("time"));
  const now = new Date();
  time.dateTime = now.toISOString();
  time.textContent = now.toLocaleTimeString();
}

/** @param {Refusal} refusal */
function showTrouble(refusal) {
  let sentence = refusal.code === "no_report" ? "" : refusal.message;
  if (refusal.wantsKey) {
    sentence = "Enter the API key to see the report.";
  }
  if (reportTrouble.textContent !== sentence) {
    reportTrouble.textContent = sentence; // screen readers announce the change
  }
}

/** @returns {Promise<boolean>} whether it succeeded; a missing report is not a failure */
async function renew() {
  const before = begun;
  try {
    await show(await api.report());
    reportTrouble.textContent = "";
    return true;
  } catch (error) {
    if (!(error instanceof Refusal)) {
      throw error;
    }
    if (error.code === "no_report" && begun === before) {
      table.hidden = renewed.hidden = json.hidden = true;
      missing.hidden = false;
    }
    showTrouble(error);
    if (error.wantsKey) {
      askForKey(error.message);
    }
    return error.code === "no_report";
  }
}

const renewal = new Renewal(renew);

/* Posting */

const textForm = element("text-form", HTMLFormElement);
const textArea = element("text", HTMLTextAreaElement);
const postButton = element("post", HTMLButtonElement);
const fileInput = element("file", HTMLInputElement);
const panel = element("posting", HTMLElement);
const progress = element("progress", HTMLProgressElement);
const pauseButton = element("pause", HTMLButtonElement);
const stopButton = element("stop", HTMLButtonElement);
const outcome = element("outcome", HTMLElement);
const trouble = element("trouble", HTMLElement);

const BUSY = "Another text is being sent. Wait for it to finish, or stop it.";

/** @type {Posting | undefined} */
let posting;

/**
 * @param {string} piece
 * @param {string} key
 */
async function postPiece(piece, key) {
  try {
    const url = await api.post(piece, key);
    // The text is counted, even if the report cannot be opened.
    show(url).then(
      () => renewal.later(),
      () => renewal.now(),
    );
  } catch (error) {
    if (error instanceof Refusal && error.wantsKey) {
      askForKey(error.message);
    }
    throw error;
  }
}

/**
 * @param {string} text
 * @param {() => void} [counted] called once the whole text is counted
 */
async function send(text, counted) {
  if (posting && !posting.over) {
    trouble.textContent = BUSY;
    return;
  }
  const sending = new Posting(text, postPiece, showPosting);
  trouble.textContent = outcome.textContent = "";
  if (sending.pieces.length === 0) {
    trouble.textContent = SENTENCES.empty_parameter;
    return;
  }
  posting = sending;
  await sending.run();
  if (sending.state === "finished" && sending.refused.size === 0) {
    counted?.();
  }
}

function showPosting() {
  if (!posting) {
    return;
  }
  const { over, state, pieces, done } = posting;
  const focused = document.activeElement;
  const hadFocus = panel.contains(focused);
  if (!over || !panel.hidden) {
    trouble.textContent = posting.trouble; // after the end, it may be about another text
  }
  panel.hidden = over;
  if (!over && (focused === postButton || focused === fileInput)) {
    panel.focus();
  }
  postButton.disabled = fileInput.disabled = !over;
  progress.max = pieces.length;
  progress.value = done;
  pauseButton.textContent = state === "paused" ? "Resume" : "Pause";
  outcome.ariaLive = state === "sending" && done > 0 ? "off" : "polite"; // do not announce each piece
  outcome.textContent = over ? summaryOf(posting) : stateOf(posting);
  if (over && hadFocus) {
    textArea.focus();
  }
}

/** @param {Posting} posting */
function stateOf({ state, done, pieces }) {
  const what = state === "paused" ? "Paused" : "Sending";
  return `${what}: ${NUMBER.format(done)} of ${count(pieces.length, "piece")} done.`;
}

/**
 * @param {number} number
 * @param {string} noun
 */
function count(number, noun) {
  return `${NUMBER.format(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/**
 * The numbers of pieces that were counted and that were not.
 *
 * @param {Posting} posting
 */
function summaryOf({ characters, counted, done, pieces, refused, retries, seconds, unsure }) {
  const [only] = refused.keys();
  if (only && pieces.length === 1) {
    return `Not counted. ${only}`;
  }
  const all = counted === pieces.length;
  const sentences = [
    all
      ? `Counted: ${count(characters, "character")} (${count(pieces.length, "piece")})`
      : `Counted ${NUMBER.format(counted)} of ${count(pieces.length, "piece")}`,
  ];
  sentences[0] += ` in ${seconds.toFixed(1)} s`;
  sentences[0] += retries
    ? `, after ${NUMBER.format(retries)} ${retries === 1 ? "retry" : "retries"}.`
    : ".";
  for (const [sentence, number] of refused) {
    sentences.push(`Not counted: ${count(number, "piece")}. ${sentence}`);
  }
  if (done < pieces.length) {
    sentences.push(`Stopped: ${count(pieces.length - done, "piece")} not counted.`);
  }
  if (unsure) {
    sentences.push("One piece was sent but not acknowledged. It may have been counted.");
  }
  return sentences.join(" ");
}

textForm.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = textArea.value;
  send(text, () => {
    if (textArea.value === text) {
      textArea.value = "";
    }
  });
});

fileInput.addEventListener("change", () => {
  sendFile(fileInput.files);
  fileInput.value = ""; // so that the same file can be chosen again
});

/** @param {FileList | null} files */
async function sendFile(files) {
  if (!files || files.length === 0) {
    return;
  }
  if (posting && !posting.over) {
    trouble.textContent = BUSY;
    return;
  }
  outcome.textContent = trouble.textContent = "";
  try {
    if (files.length > 1) {
      throw new NotText("One file at a time, please. Nothing was sent.");
    }
    await send(await textOf(files[0]));
  } catch (error) {
    if (!(error instanceof NotText)) {
      throw error;
    }
    trouble.textContent = error.message;
  }
}

pauseButton.addEventListener("click", () =>
  posting?.state === "paused" ? posting.run() : posting?.pause(),
);
stopButton.addEventListener("click", () => posting?.stop());
window.addEventListener("online", () => {
  if (posting?.trouble) {
    posting.run();
  }
});
window.addEventListener("beforeunload", (event) => {
  if (posting && !posting.over) {
    event.preventDefault();
  }
});

/* Drag and drop, anywhere on the page */

document.addEventListener("dragover", (event) => {
  if (event.dataTransfer?.types.includes("Files")) {
    event.preventDefault();
    document.body.classList.add("dropping");
  }
});
for (const end of ["dragleave", "drop"]) {
  document.addEventListener(end, () => document.body.classList.remove("dropping"));
}
document.addEventListener("drop", (event) => {
  if (event.dataTransfer?.types.includes("Files")) {
    event.preventDefault();
    sendFile(event.dataTransfer.files);
  }
});

/* The command line */

const curl = element("curl", HTMLElement);
const copied = element("copied", HTMLElement);

function showCurl() {
  const key = api.key || !keyForm.hidden ? ' -H "x-api-key: $API_KEY"' : "";
  curl.textContent =
    `curl -X POST -H "Content-Type: application/json"${key}` +
    ` -d '{"parameter": "hello world"}' ${location.origin}/`;
}

element("copy", HTMLButtonElement).addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(curl.textContent ?? "");
    copied.textContent = "Copied.";
  } catch {
    getSelection()?.selectAllChildren(curl);
    copied.textContent = "The command is selected. Copy it with your keyboard.";
  }
});

showCurl();
renewal.now();
