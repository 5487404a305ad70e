"""The preference study in a browser: `server` answers, `page/` shows; what is asked and counted is `studies.preference`."""
