"use strict";

/** Sends a text piece by piece, each under an idempotency key, so that a retry counts nothing twice. */
class Posting {
  static MAX_ATTEMPTS = 8;
  static LONGEST_PAUSE_SECONDS = 30;

  /** @type {"sending" | "paused" | "stopped" | "finished"} */
  state = "sending";
  /** Why it is waiting or paused by itself, as a sentence. */
  trouble = "";
  counted = 0;
  retries = 0;
  /** Whether the piece that is due was sent without getting an answer. */
  unsure = false;
  /** Pieces that were not counted, by the sentence that says why. */
  refused = /** @type {Map<string, number>} */ (new Map());

  #id = randomId();
  #next = 0;
  #running = false;
  #wake = () => {};
  #started = performance.now();

  /**
   * @param {string} text
   * @param {(piece: string, key: string) => Promise<void>} post throws a Refusal
   * @param {() => void} changed is called after each change of what is public here
   */
  constructor(text, post, changed) {
    this.characters = lengthOf(text);
    this.pieces = cut(text);
    this.post = post;
    this.changed = changed;
  }

  /** How many pieces were answered. */
  get done() {
    return this.#next;
  }

  get seconds() {
    return (performance.now() - this.#started) / 1000;
  }

  get over() {
    return this.state === "stopped" || this.state === "finished";
  }

  /** Send what is left. Resolves when it is over or paused. */
  async run() {
    if (this.over) {
      return;
    }
    this.state = "sending";
    this.trouble = "";
    this.changed();
    if (this.#running) {
      return; // it was paused while a piece was being sent, and goes on after that
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

  /** @param {string} trouble why, unless a person asked for it */
  pause(trouble = "") {
    if (!this.over) {
      this.state = "paused";
      this.trouble = trouble;
      this.#wake();
      this.changed();
    }
  }

  /** Leave out what is not sent yet. */
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
        this.unsure = error.passes || error.code === "internal_error";
        if (!error.passes || attempt === Posting.MAX_ATTEMPTS) {
          this.pause(error.message);
          return;
        }
        if (this.state !== "sending") {
          return; // paused or stopped meanwhile
        }
        this.retries++;
        this.trouble = `${error.message} Trying again …`;
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
   * Exponential backoff with full jitter, after what the service asks for; ends early when the
   * state changes or the connection is back.
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

/** 128 random bits. crypto.randomUUID is for pages served over TLS or on this machine alone. */
function randomId() {
  return [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(16)).join("-");
}
