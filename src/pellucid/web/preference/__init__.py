"""The preference study in a browser: `server` answers, `page/` shows; `studies.preference` is what is asked."""
