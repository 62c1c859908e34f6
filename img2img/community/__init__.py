"""Model files of other people: read as data, never as code, and never by importing a package."""
