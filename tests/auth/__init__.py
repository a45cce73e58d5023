"""Tests of logins and permissions; nothing here opens a socket."""
