"""What an evaluation says: tables, pictures, and documents in Markdown, CSV, LaTeX and HTML."""
