"""The product on one machine, without AWS: `python -m local` serves it."""

import os

# All connections are to this machine, so none may go through a proxy.
for _name in ("NO_PROXY", "no_proxy"):
    os.environ[_name] = ",".join(filter(None, [os.environ.get(_name), "127.0.0.1"]))
