"""The ways in: what arrives by HTTP, in the inbox and on the stream, checked and turned into words. Each
names, as a Protocol, what it needs from the stores."""
