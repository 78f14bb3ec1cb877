"""Self-signed certificates for the servers of the tests and the bench."""

import ssl
import subprocess
from pathlib import Path


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for `name`, such as `DNS:localhost` or `IP:127.0.0.1`, and the file with the
    certificate to trust."""
    own, key = folder / "own.pem", folder / "key.pem"
    request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=fake"
    extensions = [f"subjectAltName={name}", "keyUsage=critical,digitalSignature,keyCertSign"]
    subprocess.run(
        ["openssl", *request.split(), "-keyout", str(key), "-out", str(own)]
        + [part for extension in extensions for part in ("-addext", extension)],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own, key)
    return context, own
