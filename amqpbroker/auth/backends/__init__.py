"""Who decides on users: the broker's own database, tokens, or a service, in the order of a setting.

- ``backend`` says what a backend and its authority are; ``chain`` asks one after the other;
- ``internal`` is the user database, asked by default and alone.
"""
