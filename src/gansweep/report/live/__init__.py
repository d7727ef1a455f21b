"""The board served live: rows as they are written, and the page's data when more has changed."""
