"""The errors that a caller can meet, each with its HTTP status, stable code and sentence."""


class WordtallyError(Exception):
    """Base of every error that has an answer of its own.

    `status` is the HTTP status, `code` the stable code of the answer, `message` a sentence that a
    person can act on. `str(error)` may add a detail for the log (an AWS error code, say); it never
    holds any of the caller's text.
    """

    status: int
    code: str
    message: str


class Rejected(WordtallyError):
    """The request is at fault. Raised before anything is written."""

    status = 400


class InvalidJson(Rejected):
    code = "invalid_json"
    message = 'Send a JSON body in UTF-8, such as {"parameter": "the quick brown fox"}.'


class InvalidRequest(Rejected):
    code = "invalid_request"
    message = 'The JSON body must be an object, such as {"parameter": "the quick brown fox"}.'


class MissingParameter(Rejected):
    code = "missing_parameter"
    message = 'The JSON body has no "parameter". Put the text there.'


class ParameterNotAString(Rejected):
    code = "parameter_not_a_string"
    message = '"parameter" must be a string.'


class EmptyParameter(Rejected):
    code = "empty_parameter"
    message = '"parameter" is empty or only white space. Put some text there.'


class ParameterTooLong(Rejected):
    code = "parameter_too_long"
    message = '"parameter" is longer than 10,000 characters. Post the text in pieces.'


class NoWords(Rejected):
    code = "no_words"
    message = '"parameter" has no word in it.'


class WordTooLong(Rejected):
    code = "word_too_long"
    message = '"parameter" has a word of more than 1,024 bytes in UTF-8. Put spaces between words.'


class InvalidIdempotencyKey(Rejected):
    code = "invalid_idempotency_key"
    message = "The header Idempotency-Key must be 1 to 255 printable ASCII characters."


class IdempotencyKeyReused(Rejected):
    """Found out by the first write, which it replaces."""

    status = 422
    code = "idempotency_key_reused"
    message = "This Idempotency-Key came with another text before. Use a new key for each text."


class Unavailable(WordtallyError):
    """DynamoDB or S3 throttles or is away, and retries did not help. The detail says which call."""

    status = 503
    code = "unavailable"
    message = "The service is busy. Send the request again in a moment."
