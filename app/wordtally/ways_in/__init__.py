"""The ways in (HTTP, inbox, stream): each validates its input and turns it into words. Each declares, as
a Protocol, what it needs from the stores."""
