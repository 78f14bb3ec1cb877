"""`make demo`: post a text file in pieces that the API accepts, and draw the report."""
