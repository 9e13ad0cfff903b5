"""What a browser or a scraper gets: the page, its stream, metrics."""
