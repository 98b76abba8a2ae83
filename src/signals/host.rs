//! Scraping of host pages.
