"""The errors that a caller can get, each with its HTTP status, stable code and message.

Only the 500 of unexpected errors is set elsewhere: in `http.failure`.
"""

EXAMPLE = '{"parameter": "the quick brown fox"}'


class WordtallyError(Exception):
    """Base of every error that has its own answer.

    `status` is the HTTP status, `code` the stable code of the answer, `message` a sentence that
    tells a person what to do. `str(error)` may add a detail for the log, such as an AWS error code; it
    never contains any of the caller's text.
    """

    status: int
    code: str
    message: str


class Rejected(WordtallyError):
    """The request is invalid. Raised before anything is written."""

    status = 400


class InvalidJson(Rejected):
    """`problem` is a sentence that says what is wrong with the body; it never quotes the body."""

    code = "invalid_json"

    def __init__(self, problem: str) -> None:
        super().__init__()
        self.message = f"{problem} Send a JSON body in UTF-8, such as {EXAMPLE}."


class InvalidRequest(Rejected):
    code = "invalid_request"
    message = f"The JSON body must be an object, such as {EXAMPLE}."


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
    message = '"parameter" contains no words.'


class WordTooLong(Rejected):
    code = "word_too_long"
    message = (
        '"parameter" contains a word of more than 1,024 bytes in UTF-8. Put spaces between words.'
    )


class InvalidIdempotencyKey(Rejected):
    code = "invalid_idempotency_key"
    message = (
        "Send one Idempotency-Key header, with 1 to 255 printable ASCII characters and no comma."
    )


class IdempotencyKeyReused(Rejected):
    """Detected by the condition of the request's first write, which then writes nothing."""

    status = 422
    code = "idempotency_key_reused"
    message = (
        "This Idempotency-Key was already used with a different text. Use a new key for each text."
    )


class NoReport(WordtallyError):
    """The bucket holds no report that this product wrote."""

    status = 404
    code = "no_report"
    message = f"There is no report yet. POST a text to / first, such as {EXAMPLE}."


class Unavailable(WordtallyError):
    """AWS is throttling or unavailable despite retries, the deadline has passed, or too many
    requests publish at once. `str(error)` names the cause."""

    status = 503
    code = "unavailable"
    message = "The service is busy. Send the request again in a moment."
    message_without_key = (
        "The service is busy. Some words of this text may have been counted, so sending it again "
        "may count them twice. To retry safely, send an Idempotency-Key with each text."
    )
    message_with_key = (
        "The service is busy. Send the request again in a moment with the same Idempotency-Key: "
        "nothing is counted twice."
    )
