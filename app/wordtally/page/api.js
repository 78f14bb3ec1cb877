"use strict";

/** An answer other than success, with a sentence for the user. */
class Refusal extends Error {
  /**
   * @param {string} code a code of the contract, one of `API_CODES`, or `lost`
   * @param {string} sentence
   * @param {number} retryAfterSeconds
   */
  constructor(code, sentence, retryAfterSeconds = 0) {
    super(sentence);
    this.code = code;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  /** Whether a retry may succeed. */
  get isTransient() {
    return ["throttled", "unavailable", "timeout", "crashed", "lost"].includes(this.code);
  }

  /** Whether a key is missing or wrong. */
  get wantsKey() {
    return this.code === "key_missing" || this.code === "key_refused";
  }
}

/** Codes for answers of the HTTP API itself, which have only a status. */
const API_CODES = /** @type {Record<number, string>} */ ({
  401: "key_missing",
  403: "key_refused",
  404: "not_found",
  408: "timeout",
  413: "too_large",
  429: "throttled",
  500: "crashed",
  502: "crashed",
  503: "timeout",
  504: "timeout",
});

/** Sentences for codes whose own sentence is missing or addresses programmers. */
const SENTENCES = /** @type {Record<string, string>} */ ({
  key_missing: "Enter the API key that you received from the service's operator.",
  key_refused: "This key was refused. Enter another one.",
  not_found: "The service is not at this address. It may have been taken down.",
  too_large: "This text is too large for the service.",
  throttled: "The service is receiving too many requests.",
  crashed: "The service failed to respond.",
  timeout: "The service took too long to respond.",
  lost: "The connection to the service was lost.",
  unknown: "The response did not come from this service.",
  unavailable: "The service is busy.",
  empty_parameter: "There is nothing to count. Enter some text or choose a text file.",
  no_words: "There are no words in this text.",
  word_too_long: "This text contains a word longer than 1,024 bytes. Put spaces between words.",
});

/** The HTTP API that serves this page. */
class Api {
  /** @type {string} */
  #key = "";

  constructor() {
    try {
      this.#key = sessionStorage.getItem("key") ?? "";
    } catch {
      // The browser stores nothing, so the key lasts until the user leaves the page.
    }
  }

  get key() {
    return this.#key;
  }

  set key(key) {
    this.#key = key;
    try {
      sessionStorage.setItem("key", key);
    } catch {
      // As above.
    }
  }

  /**
   * Count a text. It is counted once per idempotency key.
   *
   * @param {string} text
   * @param {string} idempotencyKey
   * @returns {Promise<string>} a URL of the report
   * @throws {Refusal}
   */
  post(text, idempotencyKey) {
    return this.#link("/", {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": idempotencyKey },
      body: JSON.stringify({ parameter: text }),
    });
  }

  /**
   * @returns {Promise<string>} a URL of the current report
   * @throws {Refusal}
   */
  report() {
    return this.#link("/report", {});
  }

  /**
   * @param {string} path
   * @param {RequestInit} request
   * @returns {Promise<string>}
   */
  async #link(path, request) {
    const headers = new Headers(request.headers);
    const key = this.#key;
    if (/[^!-~]/.test(key)) {
      throw new Refusal("key_refused", SENTENCES.key_refused); // not allowed in a header
    }
    if (key) {
      headers.set("x-api-key", key);
    }
    const { answer, body } = await fetched(path, { ...request, headers });
    if (answer.ok && typeof body.url === "string") {
      return body.url;
    }
    const code = String(body.code ?? API_CODES[answer.status] ?? "unknown");
    const sentence = Object.hasOwn(SENTENCES, code)
      ? SENTENCES[code]
      : String(body.error ?? SENTENCES.unknown);
    const id =
      code === "internal_error" && body.request_id ? ` (Request ID: ${body.request_id})` : "";
    const seconds = Number(answer.headers.get("retry-after")) || 0;
    const refusal = new Refusal(code, sentence + id, Math.min(Math.max(seconds, 0), 60));
    if (refusal.wantsKey && key !== this.#key) {
      return this.#link(path, request); // another key was entered in the meantime
    }
    throw refusal;
  }
}

/**
 * Return an answer and its JSON, or `{}` if the body is not a JSON object.
 *
 * @param {string} url
 * @param {RequestInit} request
 * @param {string} sentence for the Refusal
 * @returns {Promise<{answer: Response, body: Record<string, any>}>}
 * @throws {Refusal}
 */
async function fetched(url, request, sentence = SENTENCES.lost) {
  try {
    const answer = await fetch(url, {
      ...request,
      credentials: "omit",
      signal: AbortSignal.timeout(60_000),
    });
    const text = await answer.text();
    try {
      const body = JSON.parse(text);
      return { answer, body: typeof body === "object" && body ? body : {} };
    } catch {
      return { answer, body: {} };
    }
  } catch {
    throw new Refusal("lost", sentence);
  }
}
