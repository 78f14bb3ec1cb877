"use strict";

/** Sends a text piece by piece, each with an idempotency key, so that retries count nothing twice. */
class Posting {
  static MAX_ATTEMPTS = 8;
  static LONGEST_PAUSE_SECONDS = 30;

  /** @type {"sending" | "paused" | "stopped" | "finished"} */
  state = "sending";
  /** Why posting is waiting or has paused itself, as a sentence. */
  trouble = "";
  counted = 0;
  retries = 0;
  /** Whether the current piece was sent but not answered. */
  unsure = false;
  /** Numbers of pieces that were not counted, by the sentence with the reason. */
  refused = /** @type {Map<string, number>} */ (new Map());

  #id = randomId();
  #next = 0;
  #running = false;
  #wake = () => {};
  #started = performance.now();

  /**
   * @param {string} text
   * @param {(piece: string, key: string) => Promise<void>} post throws a Refusal
   * @param {() => void} changed called after each change of the public fields
   */
  constructor(text, post, changed) {
    this.characters = lengthOf(text);
    this.pieces = cut(text);
    this.post = post;
    this.changed = changed;
  }

  /** Number of pieces that were answered. */
  get done() {
    return this.#next;
  }

  get seconds() {
    return (performance.now() - this.#started) / 1000;
  }

  get over() {
    return this.state === "stopped" || this.state === "finished";
  }

  /** Send the remaining pieces. Resolves when posting is over or paused. */
  async run() {
    if (this.over) {
      return;
    }
    this.state = "sending";
    this.trouble = "";
    this.changed();
    if (this.#running) {
      return; // it was paused while a piece was in flight, and continues after that piece
    }
    this.#running = true;
    try {
      while (this.state === "sending" && this.#next < this.pieces.length) {
        await this.#send(this.pieces[this.#next], `${this.#id}-${this.#next}`);
        this.changed();
      }
    } finally {
      this.#running = false;
    }
    if (this.#next === this.pieces.length) {
      this.state = "finished";
      this.changed();
    }
  }

  /** @param {string} trouble the reason, unless the user paused */
  pause(trouble = "") {
    if (!this.over) {
      this.state = "paused";
      this.trouble = trouble;
      this.#wake();
      this.changed();
    }
  }

  /** Drop the pieces that are not yet sent. */
  stop() {
    this.state = "stopped";
    this.trouble = "";
    this.#wake();
    this.changed();
  }

  /**
   * @param {string} piece
   * @param {string} key
   */
  async #send(piece, key) {
    for (let attempt = 1; this.state === "sending"; attempt++) {
      try {
        this.unsure = true;
        await this.post(piece, key);
        this.counted++;
        this.#advance();
        return;
      } catch (error) {
        if (!(error instanceof Refusal)) {
          throw error;
        }
        if (["no_words", "empty_parameter", "word_too_long"].includes(error.code)) {
          this.refused.set(error.message, (this.refused.get(error.message) ?? 0) + 1);
          this.#advance();
          return;
        }
        this.unsure = error.isTransient || error.code === "internal_error";
        if (!error.isTransient || attempt === Posting.MAX_ATTEMPTS) {
          this.pause(error.message);
          return;
        }
        if (this.state !== "sending") {
          return; // paused or stopped in the meantime
        }
        this.retries++;
        this.trouble = `${error.message} Trying again…`;
        this.changed();
        await this.#wait(attempt, error.retryAfterSeconds);
      }
    }
  }

  #advance() {
    this.#next++;
    this.unsure = false;
    this.trouble = "";
  }

  /**
   * Wait as long as the service requests, plus exponential backoff with full jitter. The wait ends
   * early when the state changes or the connection is restored.
   *
   * @param {number} attempt
   * @param {number} leastSeconds
   */
  #wait(attempt, leastSeconds) {
    const longest = Math.min(2 ** attempt / 2, Posting.LONGEST_PAUSE_SECONDS);
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake(), (leastSeconds + Math.random() * longest) * 1000);
      this.#wake = () => {
        clearTimeout(timer);
        window.removeEventListener("online", this.#wake);
        resolve(undefined);
      };
      window.addEventListener("online", this.#wake);
    });
  }
}

/** 128 random bits. crypto.randomUUID needs a page that is served over TLS or from localhost. */
function randomId() {
  return [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(16)).join("-");
}
