"use strict";

/** Maximum characters (code points) of a text in one request. */
const MAX_CHARACTERS = 10_000;

/** \s would include U+FEFF, which a word may contain. */
const WHITE_SPACE = /\p{White_Space}/u;

const TOO_LARGE = "This file is too large for the browser.";

/** A file is not text. The message is a sentence for the user. */
class NotText extends Error {}

/**
 * The text of a file.
 *
 * @param {Blob} file
 * @returns {Promise<string>}
 * @throws {NotText}
 */
async function textOf(file) {
  if (file.size > 2 ** 28) {
    throw new NotText(TOO_LARGE);
  }
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch (error) {
    if (error instanceof DOMException) {
      throw new NotText("The browser cannot read this file. It may be a folder.");
    }
    if (error instanceof RangeError) {
      throw new NotText(TOO_LARGE);
    }
    throw new NotText("This file is not UTF-8 text. Nothing was sent.");
  }
  if (text.includes("\0")) {
    throw new NotText("This file is not text. Nothing was sent.");
  }
  return text;
}

/**
 * Pieces of `text`, in order, of at most MAX_CHARACTERS each, cut between words. Pieces of only white
 * space are left out.
 *
 * @param {string} text
 */
function cut(text) {
  const pieces = [];
  for (let start = 0, end = 0; start < text.length; start = end) {
    if (WHITE_SPACE.test(text[start])) {
      end = start + 1; // a piece does not begin with white space
      continue;
    }
    end = endOfPiece(text, start);
    const piece = text.slice(start, end);
    if (piece.trim()) {
      pieces.push(piece);
    }
  }
  return pieces;
}

/**
 * The number of characters in a text.
 *
 * @param {string} text
 */
function lengthOf(text) {
  let count = 0;
  for (const _ of text) {
    count++;
  }
  return count;
}

/**
 * @param {string} text
 * @param {number} start
 */
function endOfPiece(text, start) {
  let end = start;
  for (let count = 0; count < MAX_CHARACTERS && end < text.length; count++) {
    end += (text.codePointAt(end) ?? 0) > 0xffff ? 2 : 1;
  }
  if (end === text.length) {
    return end;
  }
  for (let at = end; at > start; at--) {
    if (WHITE_SPACE.test(text[at])) {
      return at;
    }
  }
  return start + lastBoundary(text.slice(start, end));
}

/**
 * The index at which to cut a text without white space, such as Chinese: after its last punctuation,
 * else before its last word, else at its end.
 *
 * @param {string} text
 */
function lastBoundary(text) {
  // Searching only the end is enough, and faster.
  const start = Math.max(0, text.length - 2_000);
  let beforeWord = 0;
  let afterPunctuation = 0;
  let punctuation = false;
  for (const { index, isWordLike } of new Intl.Segmenter("en", { granularity: "word" }).segment(
    text.slice(start),
  )) {
    beforeWord = index;
    if (punctuation) {
      afterPunctuation = index;
    }
    punctuation = !isWordLike;
  }
  return start + (afterPunctuation || beforeWord || text.length - start);
}
