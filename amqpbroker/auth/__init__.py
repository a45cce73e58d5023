"""Who may log in and what they may do: pure decisions, no sockets and no SQL.

- ``users`` holds users and permissions; ``passwords`` and ``scram_keys`` what proves a user;
- ``sasl`` is the login: one file per mechanism and the authenticator;
- ``permissions`` answers what a principal may do, over the patterns of ``regexps``;
- ``certificates`` reads the names in a client's certificate for EXTERNAL.
"""
