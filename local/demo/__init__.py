"""`make demo`: post a text file, in pieces that the API takes, and draw the report."""
